// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//! A thousand requests, each in a fresh instance.

use faultline_wasmtime::{Module, Pool, PoolConfig};
use wasmtime::{Config, Engine, Result, Store};

const GUEST: &str = r#"(module
    (memory (export "memory") 16)
    (data (i32.const 4096) "\2a\00\00\00")
    (func (export "serve") (param i32) (result i32)
        (i32.store (i32.const 4096)
            (i32.add (i32.load (i32.const 4096)) (local.get 0)))
        (i32.load (i32.const 4096))))"#;

fn main() -> Result<()> {
    let pool = Pool::new(&PoolConfig { memories: 8, ..Default::default() })?;
    let mut config = Config::new();
    pool.configure(&mut config)?;
    let engine = Engine::new(&config)?;
    let module = Module::new(&engine, &pool, &wat::parse_str(GUEST)?)?;
    let start = std::time::Instant::now();
    for request in 0..1000 {
        let mut store = Store::new(&engine, ());
        let instance = module.instantiate(&mut store, &[])?;
        let serve = instance.get_typed_func::<i32, i32>(&mut store, "serve")?;
        assert_eq!(serve.call(&mut store, request)?, 42 + request);
    }
    println!("{}: {:?} a request", pool.rung(), start.elapsed() / 1000);
    Ok(())
}
