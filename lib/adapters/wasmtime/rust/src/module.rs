// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//! Modules for both, and instantiations that are announced.

use crate::memory::Memory;
use crate::pool::{Pool, call, defaults};
use crate::sys::*;
use std::cell::RefCell;
use std::ffi::{CStr, c_int};
use std::marker::PhantomData;
use std::mem;
use std::ptr;
use std::sync::Arc;
use wasmtime::{AsContextMut, Engine, Error, Extern, Instance, MemoryType, Result};

struct Loaded(*mut fl_module);

// Modules are immutable and counted.
unsafe impl Send for Loaded {}
unsafe impl Sync for Loaded {}

impl Drop for Loaded {
    fn drop(&mut self) {
        unsafe { fl_module_release(self.0) };
    }
}

/// A module whose images are the pool's and whose code is Wasmtime's.
#[derive(Clone)]
pub struct Module {
    compiled: wasmtime::Module,
    loaded: Arc<Loaded>,
    pool: Pool,
    whole_reason: Option<String>,
    kinds: Arc<Kinds>,
    /// Of a module that is resumable.
    state: Option<Arc<[StateExport]>>,
}

/// The memories that a module defines.
struct Kinds {
    /// The index of the first one.
    first: u32,
    list: Vec<Kind>,
}

struct Kind {
    min_bytes: u64,
    max_bytes: u64,
    /// None: shared, which Wasmtime makes itself.
    ty: Option<MemoryType>,
}

/// By which export a part of an instance's state is reached.
pub(crate) struct StateExport {
    pub(crate) kind: c_int,
    pub(crate) idx: u32,
    pub(crate) value: c_int,
    pub(crate) name: String,
}

/// What a memory begins with, and its size if the image tells it with a zero; called
/// again with the memory.
type Content<'a> =
    dyn FnMut(u32, Option<*mut fl_memory>) -> Result<(*mut fl_image, Option<u64>)> + 'a;

/// A memory that Wasmtime is going to ask for.
struct Waiting {
    memory: Box<Memory>,
    ty: MemoryType,
}

enum Batch {
    /// One instantiation of a module: its memories, the next one last.
    Of { pool: *mut fl_pool, waiting: Vec<Waiting> },
    /// Memories of zeroes, as many as are asked for.
    Plain { asked: u32 },
}

/// What a thread has announced. Both lists stay allocated from one instantiation to the
/// next.
struct Announcements {
    /// Outer before inner.
    batches: Vec<Batch>,
    /// Empty: room for the memories of the next batch.
    spare: Vec<Waiting>,
}

thread_local! {
    static ANNOUNCED: RefCell<Announcements> =
        const { RefCell::new(Announcements { batches: Vec::new(), spare: Vec::new() }) };
}

/// While this lives, the thread may make the instantiation that was announced.
/// What the instantiation does not take goes back to the pool.
#[must_use = "the announcement ends when this is dropped"]
pub struct Announced {
    depth: usize,
    /// The announcement is the thread's.
    _thread: PhantomData<*const ()>,
}

impl Announced {
    fn new(batch: Batch) -> Announced {
        ANNOUNCED.with_borrow_mut(|announced| {
            announced.batches.push(batch);
            Announced { depth: announced.batches.len(), _thread: PhantomData }
        })
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        // A batch that is dropped later than its outer one is gone with that. Memories
        // go back while nothing is borrowed.
        while let Some(batch) = ANNOUNCED.with_borrow_mut(|announced| {
            let is_open = announced.batches.len() >= self.depth;
            announced.batches.pop_if(|_| is_open)
        }) {
            if let Batch::Of { mut waiting, .. } = batch {
                waiting.clear();
                ANNOUNCED.with_borrow_mut(|announced| announced.spare = waiting);
            }
        }
    }
}

/// Announces memories of zeroes: for modules that were compiled elsewhere, whole.
pub fn announce_plain() -> Announced {
    Announced::new(Batch::Plain { asked: 0 })
}

/// The memory that Wasmtime asks for, called by the creator.
pub(crate) fn next_memory(
    pool: &Pool,
    ty: &MemoryType,
    minimum: usize,
    maximum: Option<usize>,
) -> Result<Box<Memory>> {
    ANNOUNCED.with_borrow_mut(|announced| match announced.batches.last_mut() {
        None => Err(Error::msg(
            "nobody has announced this memory: instantiate by Module::instantiate(), \
             or under Module::announce() on the same thread",
        )),
        Some(Batch::Plain { asked }) => {
            *asked += 1;
            let max = maximum.map_or(u64::MAX, |max| max as u64);
            Memory::take(pool, ptr::null_mut(), minimum as u64, max, ty.page_size())
        }
        Some(Batch::Of { pool: theirs, waiting }) => {
            if *theirs != pool.inner.pool {
                return Err(Error::msg("the module was loaded for another pool than this engine's"));
            }
            match waiting.pop() {
                None => Err(Error::msg(
                    "another module is instantiated in between: announce it too",
                )),
                Some(next) if next.ty == *ty => Ok(next.memory),
                Some(_) => Err(Error::msg("this is not a memory of the module that was announced")),
            }
        }
    })
}

/// Instantiates a module in the engine, and sees whether it asks for its memory.
fn try_engine(engine: &Engine) -> Result<()> {
    let bytes = [0, b'a', b's', b'm', 1, 0, 0, 0, 5, 3, 1, 0, 0];
    let module = wasmtime::Module::new(engine, bytes)?;
    let mut store = wasmtime::Store::new(engine, ());
    let announced = announce_plain();
    Instance::new(&mut store, &module, &[])?;
    let asked = ANNOUNCED.with_borrow(|announced| match announced.batches.last() {
        Some(Batch::Plain { asked }) => *asked,
        _ => 0,
    });
    drop(announced);
    if asked > 0 {
        return Ok(());
    }
    Err(Error::msg(
        "this engine asks for no memories: call Pool::configure() on its configuration, \
         and leave the allocation strategy on demand",
    ))
}

impl Loaded {
    fn new(pool: &Pool, bytes: &[u8]) -> Result<Loaded> {
        let mut config: fl_module_config = defaults(FL_MODULE_CONFIG);
        let mut module = ptr::null_mut();
        config.bytes = bytes.as_ptr().cast();
        config.length_bytes = bytes.len() as u64;
        call(|e| unsafe { fl_module_load(pool.context(), &config, &mut module, e) })?;
        Ok(Loaded(module))
    }

    fn info(&self) -> fl_module_info {
        let mut info: fl_module_info = unsafe { mem::zeroed() };
        info.size = mem::size_of_val(&info);
        unsafe { fl_module_info(self.0, &mut info) };
        info
    }

    fn memory_type(&self, idx: u32) -> fl_memory_type {
        let mut ty: fl_memory_type = unsafe { mem::zeroed() };
        ty.size = mem::size_of_val(&ty);
        unsafe { fl_module_memory_type(self.0, idx, &mut ty) };
        ty
    }

    fn kind(&self, idx: u32) -> Result<Kind> {
        let ty = self.memory_type(idx);
        let mut built = MemoryType::builder();
        built
            .min(ty.min_pages)
            .max((ty.max_pages != u64::MAX).then_some(ty.max_pages))
            .memory64(ty.is_64 != 0)
            .page_size_log2(ty.page_bytes.trailing_zeros() as u8);
        Ok(Kind {
            min_bytes: ty.min_pages * ty.page_bytes,
            max_bytes: ty.max_pages.checked_mul(ty.page_bytes).unwrap_or(u64::MAX),
            ty: if ty.is_shared == 0 { Some(built.build()?) } else { None },
        })
    }

    fn kinds(&self) -> Result<Arc<Kinds>> {
        let info = self.info();
        let first = info.imported_memory_count;
        let list =
            (first..info.memory_count).map(|idx| self.kind(idx)).collect::<Result<_>>()?;
        Ok(Arc::new(Kinds { first, list }))
    }

    /// Why Wasmtime has to copy the data; None: every memory can show its image.
    fn whole_reason(&self) -> Option<String> {
        let info = self.info();
        if !info.segmented_reason.is_null() {
            let reason = unsafe { CStr::from_ptr(info.segmented_reason) };
            return Some(reason.to_string_lossy().into_owned());
        }
        for idx in 0..info.memory_count {
            let ty = self.memory_type(idx);
            if ty.is_shared != 0 {
                return Some("Wasmtime makes shared memories itself".to_string());
            }
            if idx < info.imported_memory_count && ty.has_image != 0 {
                return Some("an imported memory is the host's to fill".to_string());
            }
        }
        None
    }

    /// The module that goes with its images, with state exports or without; and how
    /// many segments are kept whole.
    fn data_free(&self, write: WriteModule) -> Result<(Vec<u8>, u32)> {
        let mut report: fl_data_free_report = unsafe { mem::zeroed() };
        let mut bytes = ptr::null_mut();
        let mut length = 0;
        report.size = mem::size_of_val(&report);
        call(|e| unsafe { write(self.0, &mut bytes, &mut length, &mut report, e) })?;
        let copy =
            unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length as usize) }.to_vec();
        unsafe { fl_bytes_free(bytes) };
        Ok((copy, report.kept_count))
    }

    fn state(&self) -> Result<Arc<[StateExport]>> {
        let mut count = 0;
        call(|e| unsafe { fl_module_state_exports(self.0, ptr::null_mut(), 0, &mut count, e) })?;
        let mut exports: Vec<fl_state_export> =
            (0..count).map(|_| unsafe { mem::zeroed() }).collect();
        let at = exports.as_mut_ptr();
        call(|e| unsafe { fl_module_state_exports(self.0, at, count, &mut count, e) })?;
        Ok(exports
            .iter()
            .map(|export| StateExport {
                kind: export.kind,
                idx: export.idx,
                value: export.value,
                name: unsafe { CStr::from_ptr(export.name.as_ptr()) }
                    .to_string_lossy()
                    .into_owned(),
            })
            .collect())
    }
}

impl Module {
    /// Reads a module, makes its images, and compiles it without its data.
    pub fn new(engine: &Engine, pool: &Pool, bytes: &[u8]) -> Result<Module> {
        let (loaded, whole_reason) = Module::load(engine, pool, bytes)?;
        let compiled = match whole_reason {
            Some(_) => wasmtime::Module::new(engine, bytes)?,
            None => {
                wasmtime::Module::new(engine, loaded.data_free(fl_module_write_data_free)?.0)?
            }
        };
        let (kinds, loaded) = (loaded.kinds()?, Arc::new(loaded));
        Ok(Module { compiled, loaded, pool: pool.clone(), whole_reason, kinds, state: None })
    }

    /// The same, and [`Module::snapshot`] captures its instances. The module is
    /// compiled with reserved exports, named "faultline:...", and without its start
    /// section: call [`Module::start`]. An error names what cannot be captured.
    pub fn new_resumable(engine: &Engine, pool: &Pool, bytes: &[u8]) -> Result<Module> {
        let (loaded, whole_reason) = Module::load(engine, pool, bytes)?;
        let state = loaded.state()?;
        let (written, kept_count) = loaded.data_free(fl_module_write_state_exports)?;
        if whole_reason.is_some() || kept_count > 0 {
            return Err(Error::msg(format!(
                "no snapshots of this module: data is copied at each instantiation: {}",
                whole_reason.as_deref().unwrap_or("offsets that are not known")
            )));
        }
        let compiled = wasmtime::Module::new(engine, written)?;
        let (kinds, loaded, state) = (loaded.kinds()?, Arc::new(loaded), Some(state));
        Ok(Module { compiled, loaded, pool: pool.clone(), whole_reason, kinds, state })
    }

    fn load(engine: &Engine, pool: &Pool, bytes: &[u8]) -> Result<(Loaded, Option<String>)> {
        try_engine(engine)?;
        let loaded = Loaded::new(pool, bytes)?;
        call(|e| unsafe { fl_pool_validate(pool.inner.pool, loaded.0, e) })?;
        let whole_reason = loaded.whole_reason();
        Ok((loaded, whole_reason))
    }

    pub(crate) fn state(&self) -> &[StateExport] {
        self.state.as_deref().unwrap_or(&[])
    }

    pub(crate) fn check_resumable(&self) -> Result<()> {
        match self.state {
            Some(_) => Ok(()),
            None => Err(Error::msg("the module was not loaded by Module::new_resumable()")),
        }
    }

    pub(crate) fn raw(&self) -> *mut fl_module {
        self.loaded.0
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The code. Its instantiations are to be announced.
    pub fn compiled(&self) -> &wasmtime::Module {
        &self.compiled
    }

    /// Why Wasmtime copies the data itself; None: memories show images.
    pub fn whole_reason(&self) -> Option<&str> {
        self.whole_reason.as_deref()
    }

    fn take(&self, idx: u32, kind: &Kind, content: &mut Content) -> Result<Waiting> {
        let Some(ty) = &kind.ty else {
            return Err(Error::msg(format!(
                "memory {idx} is shared, which Wasmtime makes itself: instantiate the module \
                 without announcing it"
            )));
        };
        let (image, initial) = content(idx, None)?;
        // A snapshot's image knows how large the memory was.
        let initial = initial.unwrap_or(kind.min_bytes);
        let memory = Memory::take(&self.pool, image, initial, kind.max_bytes, ty.page_size())?;
        content(idx, Some(memory.raw()))?;
        Ok(Waiting { memory, ty: ty.clone() })
    }

    /// Takes the memories that the module defines, all or none, for the
    /// instantiation that this thread makes next.
    pub fn announce(&self) -> Result<Announced> {
        self.announce_with(|idx, memory| match (memory, &self.whole_reason) {
            (None, None) => Ok((unsafe { fl_module_image(self.loaded.0, idx) }, None)),
            _ => Ok((ptr::null_mut(), None)),
        })
    }

    pub(crate) fn announce_with(
        &self,
        mut content: impl FnMut(u32, Option<*mut fl_memory>) -> Result<(*mut fl_image, Option<u64>)>,
    ) -> Result<Announced> {
        let mut waiting = ANNOUNCED.with_borrow_mut(|announced| mem::take(&mut announced.spare));
        for (idx, kind) in (self.kinds.first..).zip(self.kinds.list.iter()) {
            waiting.push(self.take(idx, kind, &mut content)?);
        }
        waiting.reverse();
        Ok(Announced::new(Batch::Of { pool: self.pool.inner.pool, waiting }))
    }

    /// [`Instance::new`], announced.
    pub fn instantiate(&self, store: impl AsContextMut, imports: &[Extern]) -> Result<Instance> {
        let _announced = self.announce()?;
        Instance::new(store, &self.compiled, imports)
    }
}
