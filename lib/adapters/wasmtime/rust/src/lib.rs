// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//! Linear memories for Wasmtime from a Faultline pool, through
//! [`Config::with_host_memory`] and without a change to Wasmtime.
//!
//! A module's data is not copied at instantiation: each memory begins as a
//! private mapping of the module's image, and a dropped store gives the memory
//! back for what the guest wrote.
//!
//! ```no_run
//! use faultline_wasmtime::{Module, Pool, PoolConfig};
//! use wasmtime::{Config, Engine, Store};
//!
//! # fn main() -> wasmtime::Result<()> {
//! let pool = Pool::new(&PoolConfig { memories: 1000, ..Default::default() })?;
//! let mut config = Config::new();
//! pool.configure(&mut config)?;
//! let engine = Engine::new(&config)?;
//! let module = Module::new(&engine, &pool, &std::fs::read("guest.wasm")?)?;
//! for _ in 0..1000 {
//!     let mut store = Store::new(&engine, ());
//!     let instance = module.instantiate(&mut store, &[])?;
//!     let run = instance.get_typed_func::<(), ()>(&mut store, "run")?;
//!     run.call(&mut store, ())?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Wasmtime asks the pool for each memory that an instance defines, and tells
//! the pool a type and no module. So every instantiation is announced, on the
//! thread that makes it: [`Module::instantiate`] does that, and
//! [`Module::announce`] for those who instantiate by a linker. A memory that
//! nobody announced is an error in words: Wasmtime compiled a module without its
//! data, and a memory of zeroes would be wrong.
//!
//! # Snapshots and sessions
//!
//! An instance of a [`Module::new_resumable`] is captured once it has started. Clones
//! begin where it stood, and a session sleeps between requests as a [`Delta`] of a
//! few KiB, to wake in another store, process or host. Nothing is compiled again.
//!
//! ```no_run
//! # use faultline_wasmtime::{Module, Pool};
//! # use wasmtime::{Engine, Store};
//! # fn serve(engine: &Engine, pool: &Pool, bytes: &[u8]) -> wasmtime::Result<()> {
//! let module = Module::new_resumable(engine, pool, bytes)?;
//! let mut store = Store::new(engine, ());
//! let instance = module.instantiate(&mut store, &[])?;
//! module.start(&mut store, &instance)?;
//! let snapshot = module.snapshot(&mut store, &instance)?;
//!
//! let mut store = Store::new(engine, ());
//! let session = snapshot.instantiate(&mut store, &[])?;
//! // ... a request ...
//! let asleep = snapshot.suspend(store, &session).map_err(|(_, error)| error)?;
//! // ... later ...
//! let mut store = Store::new(engine, ());
//! let session = snapshot.wake(&mut store, &[], &asleep)?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Config::with_host_memory`]: wasmtime::Config::with_host_memory

mod memory;
mod module;
mod pool;
mod snapshot;
#[cfg(feature = "async")]
mod stack;
mod sys;

pub use module::{Announced, Module, announce_plain};
pub use pool::{Pool, PoolConfig};
pub use snapshot::{Delta, Snapshot};
