// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//! Asynchronous calls run on the pool's stacks.
#![cfg(feature = "async")]

use faultline_wasmtime::{Pool, PoolConfig};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use wasmtime::*;

fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
}

#[test]
fn calls_one_after_another() {
    let wanted = PoolConfig { memories: 1, stacks: 2, ..Default::default() };
    let pool = Pool::new(&wanted).unwrap();
    let mut config = Config::new();
    pool.configure_stacks(&mut config);
    let engine = Engine::new(&config).unwrap();
    let module = Module::new(
        &engine,
        r#"(module (func $deep (export "deep") (param i32) (result i32)
            (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 0))
              (else (i32.add (i32.const 1)
                (call $deep (i32.sub (local.get 0) (i32.const 1))))))))"#,
    )
    .unwrap();
    for _ in 0..50 {
        let mut store = Store::new(&engine, ());
        let instance = wait(Instance::new_async(&mut store, &module, &[])).unwrap();
        let deep = instance.get_typed_func::<i32, i32>(&mut store, "deep").unwrap();
        assert_eq!(wait(deep.call_async(&mut store, 1000)).unwrap(), 1000);
        assert!(wait(deep.call_async(&mut store, 10_000_000)).is_err());
    }
}
