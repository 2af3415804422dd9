//! Streams against a naive model: random operations, every answer compared.

#![allow(clippy::unwrap_used)]

mod compare;
mod naive;
mod ops;

use proptest::prelude::*;
use store::StoreOptions;
use store::{Cipher, Keys, SecretKey, StreamOptions, Sync};

use ops::{World, limits, op};

fn cases() -> u32 {
    if std::env::var_os("GATEHOUSE_LONG").is_some() { 5000 } else { 48 }
}

fn keys(encrypted: bool) -> Option<Keys> {
    let current = SecretKey::new(vec![9; 32]).unwrap();
    encrypted.then_some(Keys { cipher: Cipher::Aes256Gcm, current, previous: Vec::new() })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(), max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn a_memory_stream_does_what_the_model_does(
        limits in limits(),
        ops in proptest::collection::vec(op(), 1..100),
    ) {
        let options = StreamOptions { segment_bytes: 700, limits, ..StreamOptions::memory() };
        let mut world = World::new(None, StoreOptions::default(), options);
        for op in ops {
            world.apply(&op)?;
        }
    }

    #[test]
    fn a_file_stream_does_what_the_model_does_over_restarts_and_power_cuts(
        seed in any::<u64>(),
        limits in limits(),
        sync in prop_oneof![4 => Just(Sync::Commit), 1 => Just(Sync::None)],
        encrypted in any::<bool>(),
        ops in proptest::collection::vec(op(), 1..100),
    ) {
        let options = StreamOptions { segment_bytes: 1500, limits, sync, ..StreamOptions::file() };
        let store = StoreOptions { keys: keys(encrypted), snapshot_every: 2000, compact_percent: 50, ..StoreOptions::default() };
        let mut world = World::new(Some(seed), store, options);
        for op in ops {
            world.apply(&op)?;
        }
    }
}
