// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//! A clone is what was captured, and a session that sleeps between calls cannot be
//! told from one that does not. Which instances the C adapter's tests have, these
//! need not have again.

use faultline_wasmtime::{Delta, Module, Pool, PoolConfig, Snapshot};
use wasmtime::{Config, Engine, Func, Instance, Store};

const GUEST: &str = r#"(module
    (import "host" "tick" (func $tick))
    (memory (export "memory") 2 9)
    (global $count (mut i32) (i32.const 0))
    (global $wide (mut i64) (i64.const -1))
    (data (i32.const 1000) "module")
    (func $start (call $tick) (i32.store (i32.const 5000) (i32.const 77)))
    (start $start)
    (func (export "next") (param $at i32) (result i32)
      (global.set $count (i32.add (global.get $count) (i32.const 1)))
      (global.set $wide (i64.mul (global.get $wide) (i64.const 3)))
      (i32.store (local.get $at) (i32.add (i32.load (local.get $at)) (global.get $count)))
      (i32.add (i32.load (i32.const 5000))
        (i32.add (i32.load (local.get $at)) (i32.wrap_i64 (global.get $wide)))))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#;

struct Scene {
    engine: Engine,
    module: Module,
}

impl Scene {
    fn new() -> Scene {
        let pool = Pool::new(&PoolConfig {
            memories: 4,
            max_memory_bytes: 1 << 20,
            ..Default::default()
        })
        .unwrap();
        let mut config = Config::new();
        pool.configure(&mut config).unwrap();
        let engine = Engine::new(&config).unwrap();
        let bytes = wat::parse_str(GUEST).unwrap();
        let module = Module::new_resumable(&engine, &pool, &bytes).unwrap();
        Scene { engine, module }
    }

    /// A store that counts ticks.
    fn store(&self) -> (Store<u32>, Func) {
        let mut store = Store::new(&self.engine, 0);
        let tick = Func::wrap(&mut store, |mut caller: wasmtime::Caller<'_, u32>| {
            *caller.data_mut() += 1;
        });
        (store, tick)
    }

    fn start(&self) -> Guest {
        let (mut store, tick) = self.store();
        let instance = self.module.instantiate(&mut store, &[tick.into()]).unwrap();
        self.module.start(&mut store, &instance).unwrap();
        assert_eq!(*store.data(), 1);
        Guest { store, instance }
    }

    fn clone_of(&self, snapshot: &Snapshot, delta: Option<&Delta>) -> Guest {
        let (mut store, tick) = self.store();
        let imports = [tick.into()];
        let instance = match delta {
            Some(delta) => snapshot.wake(&mut store, &imports, delta),
            None => snapshot.instantiate(&mut store, &imports),
        }
        .unwrap();
        assert_eq!(*store.data(), 0);
        Guest { store, instance }
    }
}

struct Guest {
    store: Store<u32>,
    instance: Instance,
}

impl Guest {
    fn call(&mut self, name: &str, arg: i32) -> i32 {
        self.instance
            .get_typed_func::<i32, i32>(&mut self.store, name)
            .unwrap()
            .call(&mut self.store, arg)
            .unwrap()
    }

    fn memory(&mut self) -> Vec<u8> {
        let memory = self.instance.get_memory(&mut self.store, "memory").unwrap();
        memory.data(&self.store).to_vec()
    }
}

#[test]
fn a_clone_is_what_was_captured() {
    let scene = Scene::new();
    let mut guest = scene.start();
    guest.call("next", 100000);
    guest.call("grow", 2);
    let snapshot = scene.module.snapshot(&mut guest.store, &guest.instance).unwrap();
    let mut clone = scene.clone_of(&snapshot, None);
    assert!(guest.memory() == clone.memory());
    for i in 0..20 {
        assert_eq!(guest.call("next", i * 9000), clone.call("next", i * 9000));
    }
    assert!(guest.memory() == clone.memory());
}

#[test]
fn a_session_sleeps_unseen() {
    let scene = Scene::new();
    let mut guest = scene.start();
    let snapshot = scene.module.snapshot(&mut guest.store, &guest.instance).unwrap();
    let mut awake = scene.clone_of(&snapshot, None);
    let mut session = scene.clone_of(&snapshot, None);
    for i in 0..50 {
        assert_eq!(awake.call("next", i * 2000), session.call("next", i * 2000));
        if i % 10 == 0 {
            assert_eq!(awake.call("grow", 1), session.call("grow", 1));
        }
        let Guest { mut store, instance } = session;
        let checkpoint = snapshot.checkpoint(&mut store, &instance).unwrap();
        let delta = snapshot.suspend(store, &instance).map_err(|(_, error)| error).unwrap();
        assert!(checkpoint.bytes() == delta.bytes());
        let stored = delta.bytes().to_vec();
        session = scene.clone_of(&snapshot, Some(&snapshot.open_delta(&stored).unwrap()));
    }
    assert!(awake.memory() == session.memory());
}

#[test]
fn what_does_not_fit_is_an_error() {
    let (scene, other) = (Scene::new(), Scene::new());
    let mut guest = scene.start();
    let snapshot = scene.module.snapshot(&mut guest.store, &guest.instance).unwrap();
    let again = scene.module.snapshot(&mut guest.store, &guest.instance).unwrap();
    let delta = again.checkpoint(&mut guest.store, &guest.instance);
    // It began as the module, not as a clone.
    assert!(delta.is_err());
    let mut clone = scene.clone_of(&snapshot, None);
    let delta = snapshot.checkpoint(&mut clone.store, &clone.instance).unwrap();
    assert!(again.announce(Some(&delta)).is_err());
    assert!(snapshot.open_delta(&delta.bytes()[1..]).is_err());
    assert!(other.module.snapshot(&mut guest.store, &guest.instance).is_err());
}
