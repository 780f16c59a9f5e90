// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//! Guests on a pool's memories do what they do on Wasmtime's own, and begin with
//! their own module's content, whatever is instantiated in between.

use faultline_wasmtime::{Module, Pool, PoolConfig, announce_plain};
use std::sync::{Arc, Mutex};
use wasmtime::{Config, Engine, Func, Instance, InstanceAllocationStrategy, Result, Store};

const WORK: &str = r#"(module
    (memory (export "memory") 4 9)
    (data (i32.const 1000) "some of what the module says")
    (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
    (func (export "store") (param i32 i32) (i32.store (local.get 0) (local.get 1)))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#;
const SOME: i32 = 0x656d6f73;

fn engine(pool: &Pool, mut config: Config) -> Engine {
    pool.configure(&mut config).unwrap();
    Engine::new(&config).unwrap()
}

fn pool(memories: u32) -> Pool {
    Pool::new(&PoolConfig { memories, max_memory_bytes: 1 << 20, ..Default::default() }).unwrap()
}

fn load(engine: &Engine, pool: &Pool, text: &str) -> Module {
    Module::new(engine, pool, &wat::parse_str(text).unwrap()).unwrap()
}

struct Guest {
    store: Store<()>,
    instance: Instance,
}

impl Guest {
    fn new(engine: &Engine, module: &Module) -> Guest {
        let mut store = Store::new(engine, ());
        let instance = module.instantiate(&mut store, &[]).unwrap();
        Guest { store, instance }
    }

    fn load(&mut self, at: u32) -> Result<i32> {
        self.instance
            .get_typed_func::<i32, i32>(&mut self.store, "load")?
            .call(&mut self.store, at as i32)
    }

    fn store(&mut self, at: u32, value: i32) -> Result<()> {
        self.instance
            .get_typed_func::<(i32, i32), ()>(&mut self.store, "store")?
            .call(&mut self.store, (at as i32, value))
    }

    fn grow(&mut self, pages: i32) -> i32 {
        self.instance
            .get_typed_func::<i32, i32>(&mut self.store, "grow")
            .unwrap()
            .call(&mut self.store, pages)
            .unwrap()
    }
}

#[test]
fn a_next_guest_sees_the_module_alone() {
    for is_accessible in [false, true] {
        let config = PoolConfig {
            memories: 1,
            max_memory_bytes: 1 << 20,
            is_accessible,
            ..Default::default()
        };
        let pool = Pool::new(&config).unwrap();
        let engine = engine(&pool, Config::new());
        let module = load(&engine, &pool, WORK);
        assert_eq!(module.whole_reason(), None);
        for i in 0..2000u32 {
            let mut guest = Guest::new(&engine, &module);
            assert_eq!(guest.load(1000).unwrap(), SOME);
            assert_eq!(guest.load(i % 60000 * 4 + 2000).unwrap(), 0);
            guest.store(1000, 1).unwrap();
            guest.store(i % 60000 * 4 + 2000, 7).unwrap();
            assert!(guest.store(4 * 65536 - 3, 1).is_err());
            if i % 10 == 0 {
                assert_eq!(guest.grow(5), 4);
                guest.store(9 * 65536 - 4, 1).unwrap();
                assert!(guest.store(9 * 65536 - 3, 1).is_err());
                assert_eq!(guest.grow(1), -1);
            }
        }
    }
}

#[test]
fn guests_of_two_threads() {
    let pool = pool(2);
    let engine = engine(&pool, Config::new());
    let module = load(&engine, &pool, WORK);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for i in 0..2000 {
                    let mut guest = Guest::new(&engine, &module);
                    assert_eq!(guest.load(1000).unwrap(), SOME);
                    guest.store(1000 + i, 9).unwrap();
                }
            });
        }
    });
}

#[test]
fn what_nobody_announced_is_an_error() {
    let pool = pool(1);
    let engine = engine(&pool, Config::new());
    let module = load(&engine, &pool, WORK);
    let mut store = Store::new(&engine, ());
    let error = Instance::new(&mut store, module.compiled(), &[]).unwrap_err();
    assert!(format!("{error:?}").contains("nobody has announced"));
    // Whole modules are announced as such.
    let whole = wasmtime::Module::new(&engine, WORK).unwrap();
    let plain = announce_plain();
    let instance = Instance::new(&mut store, &whole, &[]).unwrap();
    drop(plain);
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    assert_eq!(&memory.data(&store)[1000..1004], b"some");
    drop(store);
    let mut store = Store::new(&engine, ());
    assert!(Instance::new(&mut store, &whole, &[]).is_err());
}

#[test]
fn engines_that_ask_nobody_are_refused() {
    let pool = pool(1);
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::pooling());
    let engine = engine(&pool, config);
    let error = Module::new(&engine, &pool, &wat::parse_str(WORK).unwrap()).err().unwrap();
    assert!(format!("{error:?}").contains("on demand"));
}

#[test]
fn a_full_pool_is_an_error() {
    let pool = pool(1);
    let engine = engine(&pool, Config::new());
    let module = load(&engine, &pool, WORK);
    let first = Guest::new(&engine, &module);
    assert!(module.announce().is_err());
    drop(first);
    // What an announcement took and nobody used goes back.
    drop(module.announce().unwrap());
    Guest::new(&engine, &module);
}

#[test]
fn another_module_in_between() {
    let pool = pool(2);
    let engine = engine(&pool, Config::new());
    let inner = load(&engine, &pool, WORK);
    let outer = load(
        &engine,
        &pool,
        r#"(module (import "host" "make" (func $make))
            (memory (export "memory") 1) (data (i32.const 10) "outer") (start $make))"#,
    );
    for is_announced in [true, false, true] {
        let made = Arc::new(Mutex::new(None));
        let (theirs, with, in_engine) = (made.clone(), inner.clone(), engine.clone());
        let mut store = Store::new(&engine, ());
        let make = Func::wrap(&mut store, move || {
            let mut store = Store::new(&in_engine, ());
            let result = if is_announced {
                with.instantiate(&mut store, &[])
            } else {
                Instance::new(&mut store, with.compiled(), &[])
            };
            *theirs.lock().unwrap() = Some(result.map(|instance| (store, instance)));
        });
        let instance = outer.instantiate(&mut store, &[make.into()]).unwrap();
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        assert_eq!(&memory.data(&store)[10..15], b"outer");
        match made.lock().unwrap().take().unwrap() {
            Ok((mut store, instance)) => {
                assert!(is_announced);
                let memory = instance.get_memory(&mut store, "memory").unwrap();
                assert_eq!(&memory.data(&store)[1000..1004], b"some");
            }
            Err(error) => {
                assert!(!is_announced);
                assert!(format!("{error:?}").contains("announce it too"));
            }
        }
    }
}

#[test]
fn module_and_pool_outlive_whoever_made_them() {
    let mut guest = {
        let pool = pool(1);
        let engine = engine(&pool, Config::new());
        let module = load(&engine, &pool, WORK);
        Guest::new(&engine, &module)
    };
    assert_eq!(guest.load(1000).unwrap(), SOME);
}

#[test]
fn several_and_large_memories() {
    let pool = pool(3);
    let mut config = Config::new();
    config.wasm_memory64(true).wasm_multi_memory(true);
    let engine = engine(&pool, config);
    let module = load(
        &engine,
        &pool,
        r#"(module (memory (export "a") 1) (memory (export "b") i64 2)
            (data (memory 0) (i32.const 5) "first") (data (memory 1) (i64.const 70000) "second"))"#,
    );
    for _ in 0..3 {
        let mut store = Store::new(&engine, ());
        let instance = module.instantiate(&mut store, &[]).unwrap();
        let a = instance.get_memory(&mut store, "a").unwrap();
        let b = instance.get_memory(&mut store, "b").unwrap();
        assert_eq!(&a.data(&store)[5..10], b"first");
        assert_eq!(&b.data(&store)[70000..70006], b"second");
        a.data_mut(&mut store)[5] = 0;
        b.data_mut(&mut store)[70000] = 0;
    }
}

#[test]
fn announcements_end_in_any_order() {
    let pool = pool(3);
    let engine = engine(&pool, Config::new());
    let two = load(&engine, &pool, "(module (memory 1) (memory (export \"m\") 1 2))");
    let one = load(&engine, &pool, WORK);
    let mut guest = Guest::new(&engine, &one);
    for _ in 0..3 {
        // The first memory is taken, and the second; then the first alone.
        let outer = two.announce().unwrap();
        assert!(one.announce().is_err());
        drop(outer);
        let other = Guest::new(&engine, &one);
        assert!(two.announce().is_err());
        // What the outer one had is gone, and the inner one with it.
        let outer = announce_plain();
        let inner = one.announce().unwrap();
        drop(outer);
        let mut store = Store::new(&engine, ());
        assert!(Instance::new(&mut store, one.compiled(), &[]).is_err());
        drop(inner);
        drop(other);
        // Two at once, the inner one used and ended first.
        let outer = one.announce().unwrap();
        let mut next = Guest::new(&engine, &one);
        assert_eq!(next.load(1000).unwrap(), SOME);
        drop(next);
        Instance::new(&mut store, one.compiled(), &[]).unwrap();
        drop(outer);
        drop(store);
        Instance::new(&mut Store::new(&engine, ()), two.compiled(), &[]).unwrap_err();
        two.instantiate(&mut Store::new(&engine, ()), &[]).unwrap();
    }
    assert_eq!(guest.load(1000).unwrap(), SOME);
}
