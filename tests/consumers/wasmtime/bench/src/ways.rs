// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//! Five configurations of Wasmtime as it comes, and Wasmtime with a Faultline pool.

use faultline_wasmtime::{Pool, PoolConfig};
use std::sync::Mutex;
use wasmtime::*;

pub const MAX_MEMORY_BYTES: usize = 16 << 20;

/// What Wasmtime's best mode may keep resident of a memory: the sweep takes what is
/// fastest in its row.
pub const KEEPS: &[usize] = &[128 << 10, 1 << 20, 4 << 20, 16 << 20];

pub const WAYS: [&str; 6] =
    ["on demand", "pooling", "no CoW", "keep", "its best", "faultline"];
pub const POOLING: usize = 1;
pub const BEST: usize = 4;
pub const FAULTLINE: usize = 5;

/// Modules and what they were compiled to last.
static COMPILED: Mutex<(Vec<u8>, Vec<u8>)> = Mutex::new((Vec::new(), Vec::new()));

pub enum Way {
    Own(Engine, Module),
    Faultline(Engine, faultline_wasmtime::Module),
}

impl Way {
    fn own(mut config: Config, bytes: &[u8], strategy: InstanceAllocationStrategy) -> Result<Way> {
        config.allocation_strategy(strategy);
        let engine = Engine::new(&config)?;
        // Compiled once where the code is the same.
        let mut made = COMPILED.lock().unwrap();
        if made.0 != bytes {
            *made = (bytes.to_vec(), Engine::default().precompile_module(bytes)?);
        }
        let module = match unsafe { Module::deserialize(&engine, &made.1) } {
            Ok(module) => module,
            Err(_) => Module::new(&engine, bytes)?,
        };
        Ok(Way::Own(engine, module))
    }

    /// Pooling that keeps this much resident, and asks which pages have content.
    pub fn best(bytes: &[u8], keep: usize) -> Result<Way> {
        Way::own(Config::new(), bytes, pooling(keep, true))
    }

    pub fn faultline(bytes: &[u8]) -> Result<Way> {
        let pool = pool()?;
        let engine = engine(&pool)?;
        let module = faultline_wasmtime::Module::new(&engine, &pool, bytes)?;
        if let Some(reason) = module.whole_reason() {
            eprintln!("Wasmtime copies the data itself: {reason}");
        }
        Ok(Way::Faultline(engine, module))
    }

    /// In the order of WAYS.
    pub fn all(bytes: &[u8], keep: usize) -> Result<[Way; 6]> {
        let mut copying = Config::new();
        copying.memory_init_cow(false);
        Ok([
            Way::own(Config::new(), bytes, InstanceAllocationStrategy::OnDemand)?,
            Way::own(Config::new(), bytes, pooling(0, false))?,
            Way::own(copying, bytes, pooling(keep, true))?,
            Way::own(Config::new(), bytes, pooling(MAX_MEMORY_BYTES, false))?,
            Way::best(bytes, keep)?,
            Way::faultline(bytes)?,
        ])
    }

    /// A store and an instance of its own.
    pub fn begin(&self) -> Result<(Store<()>, Instance)> {
        match self {
            Way::Own(engine, module) => {
                let mut store = Store::new(engine, ());
                let instance = Instance::new(&mut store, module, &[])?;
                Ok((store, instance))
            }
            Way::Faultline(engine, module) => {
                let mut store = Store::new(engine, ());
                let instance = module.instantiate(&mut store, &[])?;
                Ok((store, instance))
            }
        }
    }
}

fn pooling(keep: usize, scan: bool) -> InstanceAllocationStrategy {
    let mut config = PoolingAllocationConfig::default();
    config.total_memories(8).total_core_instances(8).total_tables(8).total_stacks(1);
    config.max_memory_size(MAX_MEMORY_BYTES);
    config.linear_memory_keep_resident(keep);
    config.table_keep_resident(keep.min(1 << 20));
    if scan {
        config.pagemap_scan(Enabled::Yes);
    }
    InstanceAllocationStrategy::Pooling(config)
}

pub fn pool() -> Result<Pool> {
    let max_memory_bytes = MAX_MEMORY_BYTES as u64;
    Pool::new(&PoolConfig { memories: 8, max_memory_bytes, ..Default::default() })
}

pub fn engine(pool: &Pool) -> Result<Engine> {
    let mut config = Config::new();
    pool.configure(&mut config)?;
    Engine::new(&config)
}
