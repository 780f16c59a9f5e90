// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//! What of faultline.h this crate calls. Structs that grow carry their size, and
//! the library fills and reads that many bytes of them.

#![allow(non_camel_case_types)]

use std::ffi::{c_char, c_int, c_void};

pub enum fl_context {}
pub enum fl_module {}
pub enum fl_image {}
pub enum fl_pool {}
pub enum fl_snapshot {}
pub enum fl_delta {}

pub const FL_MODULE_CONFIG: c_int = 1;
pub const FL_POOL_CONFIG: c_int = 3;
pub const FL_TUNABLES: c_int = 4;
pub const FL_MEMORY_CONFIG: c_int = 6;
pub const FL_SNAPSHOT_PARTS: c_int = 10;
pub const FL_SNAPSHOT_BINDING: c_int = 11;
pub const FL_DELTA_PARTS: c_int = 14;

pub const FL_BYTES_COPY: c_int = 0;

pub const FL_STATE_FUNCTION: c_int = 0;
pub const FL_STATE_TABLE: c_int = 1;
pub const FL_STATE_MEMORY: c_int = 2;
pub const FL_STATE_GLOBAL: c_int = 3;
pub const FL_STATE_START: c_int = 4;

pub const FL_VALUE_I32: c_int = 0x7f;
pub const FL_VALUE_I64: c_int = 0x7e;
pub const FL_VALUE_F32: c_int = 0x7d;
pub const FL_VALUE_F64: c_int = 0x7c;
pub const FL_VALUE_V128: c_int = 0x7b;

#[repr(C)]
pub struct fl_error {
    pub code: c_int,
    pub trap: c_int,
    pub byte_off: u64,
    pub text: [c_char; 240],
}

/// The first two fields are at fixed offsets, and compiled code may read them.
#[repr(C)]
pub struct fl_memory {
    pub base: *mut u8,
    pub length_bytes: u64,
}

#[cfg(feature = "async")]
#[repr(C)]
pub struct fl_stack {
    pub low: *mut u8,
    pub high: *mut u8,
    pub top: *mut u8,
}

#[repr(C)]
pub struct fl_module_config {
    pub size: usize,
    pub bytes: *const c_void,
    pub length_bytes: u64,
    pub ownership: c_int,
    pub release: Option<extern "C" fn(*mut c_void, *const c_void)>,
    pub user: *mut c_void,
}

#[repr(C)]
pub struct fl_module_info {
    pub size: usize,
    pub memory_count: u32,
    pub imported_memory_count: u32,
    pub table_count: u32,
    pub imported_table_count: u32,
    pub global_count: u32,
    pub imported_global_count: u32,
    pub data_count: u32,
    pub active_data_count: u32,
    pub element_count: u32,
    pub has_start: u32,
    pub active_data_bytes: u64,
    pub passive_data_bytes: u64,
    pub length_bytes: u64,
    pub segmented_reason: *const c_char,
}

#[repr(C)]
pub struct fl_memory_type {
    pub size: usize,
    pub min_pages: u64,
    pub max_pages: u64,
    pub page_bytes: u64,
    pub is_imported: u32,
    pub is_shared: u32,
    pub is_64: u32,
    pub has_image: u32,
}

#[repr(C)]
pub struct fl_pool_config {
    pub size: usize,
    pub max_instances: u32,
    pub max_memories: u32,
    pub max_memories_per_instance: u32,
    pub max_tables: u32,
    pub max_tables_per_instance: u32,
    pub max_stacks: u32,
    pub max_memory_bytes: u64,
    pub memory_stride_bytes: u64,
    pub memory_alignment_bytes: u64,
    pub guard_before_bytes: u64,
    pub guard_after_bytes: u64,
    pub prefix_bytes: u64,
    pub max_table_elements: u64,
    pub table_element_bytes: u64,
    pub table_null: *const c_void,
    pub instance_bytes: u64,
    pub instance_alignment_bytes: u64,
    pub stack_bytes: u64,
    pub stack_growth: c_int,
    pub stack_alignment_bytes: u32,
    pub zero_stacks: u32,
    pub reserved: u32,
    pub stack_keep_resident_bytes: u64,
    pub bounds: c_int,
    pub strategy: c_int,
    pub allocation: c_int,
    pub random_seed: u64,
    pub max_warm_memories: u32,
    pub audit_every: u32,
    pub max_idle_slot_bytes: u64,
    pub max_idle_bytes: u64,
}

#[repr(C)]
pub struct fl_memory_config {
    pub size: usize,
    pub image: *mut fl_image,
    pub initial_bytes: u64,
    pub max_bytes: u64,
    pub page_bytes: u64,
    pub is_shared: u32,
    pub is_lent: u32,
    pub timeout_ns: u64,
    pub address_bits: u32,
    pub reserved: u32,
    pub user: *mut c_void,
}

#[repr(C)]
pub struct fl_data_free_report {
    pub size: usize,
    pub emptied_count: u32,
    pub kept_count: u32,
    pub emptied_bytes: u64,
    pub kept_bytes: u64,
    pub first_kept_idx: u32,
    pub reserved: u32,
    pub kept_reason: *const c_char,
}

#[repr(C)]
pub struct fl_state_export {
    pub kind: c_int,
    pub idx: u32,
    pub value: c_int,
    pub name: [c_char; 28],
}

#[repr(C)]
pub struct fl_snapshot_parts {
    pub size: usize,
    pub module: *mut fl_module,
    pub images: *const *mut fl_image,
    pub image_count: u32,
    pub reserved: u32,
    pub state: *const c_void,
    pub state_bytes: u64,
    pub encoding: *const c_char,
}

#[repr(C)]
pub struct fl_snapshot_binding {
    pub size: usize,
    pub modules: *const *mut fl_module,
    pub module_count: u32,
    pub reserved: u32,
    pub encoding: *const c_char,
    pub plain_tables: u32,
    pub plain_structure: u32,
}

#[repr(C)]
pub struct fl_delta_parts {
    pub size: usize,
    pub snapshot: *mut fl_snapshot,
    pub memories: *const *mut fl_memory,
    pub memory_count: u32,
    pub is_quiet: u32,
    pub state: *const c_void,
    pub state_bytes: u64,
    pub tag: [u8; 32],
    pub buffer: *mut c_void,
    pub buffer_bytes: u64,
    pub needed_bytes: *mut u64,
}

/// fl_memory_delta() and fl_memory_suspend().
pub type MemoryDelta = unsafe extern "C" fn(
    parts: *const fl_delta_parts,
    delta: *mut *mut fl_delta,
    error: *mut fl_error,
) -> c_int;

/// fl_module_write_data_free() and fl_module_write_state_exports().
pub type WriteModule = unsafe extern "C" fn(
    module: *const fl_module,
    bytes: *mut *mut c_void,
    length_bytes: *mut u64,
    report: *mut fl_data_free_report,
    error: *mut fl_error,
) -> c_int;

#[repr(C)]
pub struct fl_tunables {
    pub size: usize,
    pub memory_reservation_bytes: u64,
    pub memory_guard_bytes: u64,
    pub memory_guard_before_bytes: u64,
    pub memory_may_move: u32,
    pub checks_bounds: u32,
}

unsafe extern "C" {
    pub fn fl_config_init(kind: c_int, config: *mut c_void, size_bytes: usize);
    pub fn fl_strerror(err: c_int) -> *const c_char;
    pub fn fl_context_create(
        config: *const c_void,
        context: *mut *mut fl_context,
        error: *mut fl_error,
    ) -> c_int;
    pub fn fl_context_destroy(context: *mut fl_context);
    pub fn fl_context_rung(context: *const fl_context, reason: *mut *const c_char)
    -> *const c_char;
    pub fn fl_pool_create(
        context: *mut fl_context,
        config: *const fl_pool_config,
        pool: *mut *mut fl_pool,
        error: *mut fl_error,
    ) -> c_int;
    pub fn fl_pool_destroy(pool: *mut fl_pool) -> c_int;
    pub fn fl_pool_validate(
        pool: *const fl_pool,
        module: *const fl_module,
        error: *mut fl_error,
    ) -> c_int;
    pub fn fl_pool_adjust_tunables(
        pool: *const fl_pool,
        tunables: *mut fl_tunables,
        error: *mut fl_error,
    ) -> c_int;
    pub fn fl_module_load(
        context: *mut fl_context,
        config: *const fl_module_config,
        module: *mut *mut fl_module,
        error: *mut fl_error,
    ) -> c_int;
    pub fn fl_module_release(module: *mut fl_module);
    pub fn fl_module_info(module: *const fl_module, info: *mut fl_module_info);
    pub fn fl_module_memory_type(
        module: *const fl_module,
        memory_idx: u32,
        memory_type: *mut fl_memory_type,
    ) -> c_int;
    pub fn fl_module_image(module: *const fl_module, memory_idx: u32) -> *mut fl_image;
    pub fn fl_module_write_data_free(
        module: *const fl_module,
        bytes: *mut *mut c_void,
        length_bytes: *mut u64,
        report: *mut fl_data_free_report,
        error: *mut fl_error,
    ) -> c_int;
    pub fn fl_module_state_exports(
        module: *const fl_module,
        exports: *mut fl_state_export,
        capacity: u32,
        count: *mut u32,
        error: *mut fl_error,
    ) -> c_int;
    pub fn fl_module_write_state_exports(
        module: *const fl_module,
        bytes: *mut *mut c_void,
        length_bytes: *mut u64,
        report: *mut fl_data_free_report,
        error: *mut fl_error,
    ) -> c_int;
    pub fn fl_image_from_memory(
        memory: *const fl_memory,
        config: *const c_void,
        image: *mut *mut fl_image,
        error: *mut fl_error,
    ) -> c_int;
    pub fn fl_image_release(image: *mut fl_image);
    pub fn fl_snapshot_create(
        parts: *const fl_snapshot_parts,
        snapshot: *mut *mut fl_snapshot,
        error: *mut fl_error,
    ) -> c_int;
    pub fn fl_snapshot_open(
        context: *mut fl_context,
        path: *const c_char,
        fd: c_int,
        flags: u32,
        binding: *const fl_snapshot_binding,
        snapshot: *mut *mut fl_snapshot,
        error: *mut fl_error,
    ) -> c_int;
    pub fn fl_snapshot_write(
        snapshot: *const fl_snapshot,
        path: *const c_char,
        error: *mut fl_error,
    ) -> c_int;
    pub fn fl_snapshot_release(snapshot: *mut fl_snapshot);
    pub fn fl_snapshot_image(
        snapshot: *const fl_snapshot,
        instance_idx: u32,
        memory_idx: u32,
    ) -> *mut fl_image;
    pub fn fl_snapshot_state(
        snapshot: *const fl_snapshot,
        instance_idx: u32,
        length_bytes: *mut u64,
    ) -> *const c_void;
    pub fn fl_memory_delta(
        parts: *const fl_delta_parts,
        delta: *mut *mut fl_delta,
        error: *mut fl_error,
    ) -> c_int;
    pub fn fl_memory_suspend(
        parts: *const fl_delta_parts,
        delta: *mut *mut fl_delta,
        error: *mut fl_error,
    ) -> c_int;
    pub fn fl_delta_open(
        snapshot: *mut fl_snapshot,
        bytes: *const c_void,
        length_bytes: u64,
        ownership: c_int,
        tag: *const u8,
        delta: *mut *mut fl_delta,
        error: *mut fl_error,
    ) -> c_int;
    pub fn fl_delta_release(delta: *mut fl_delta);
    pub fn fl_delta_bytes(delta: *const fl_delta, length_bytes: *mut u64) -> *const c_void;
    pub fn fl_delta_restore_memory(
        delta: *const fl_delta,
        memory_idx: u32,
        memory: *mut fl_memory,
        error: *mut fl_error,
    ) -> c_int;
    pub fn fl_delta_read_state(
        delta: *const fl_delta,
        instance_idx: u32,
        buffer: *mut c_void,
        length_bytes: *mut u64,
    ) -> c_int;
    pub fn fl_memory_find(pool: *const fl_pool, base: *const c_void) -> *mut fl_memory;
    pub fn fl_memory_user(memory: *const fl_memory) -> *mut c_void;
    pub fn fl_bytes_free(bytes: *mut c_void);
    pub fn fl_memory_acquire(
        pool: *mut fl_pool,
        config: *const fl_memory_config,
        memory: *mut *mut fl_memory,
        error: *mut fl_error,
    ) -> c_int;
    pub fn fl_memory_release(memory: *mut fl_memory) -> c_int;
    pub fn fl_memory_grow(memory: *mut fl_memory, delta_pages: u64, old_pages: *mut u64)
    -> c_int;
    #[cfg(feature = "async")]
    pub fn fl_stack_acquire(
        pool: *mut fl_pool,
        timeout_ns: u64,
        stack: *mut *mut fl_stack,
        error: *mut fl_error,
    ) -> c_int;
    #[cfg(feature = "async")]
    pub fn fl_stack_release(stack: *mut fl_stack) -> c_int;
}
