//! Streams against a naive model: random operations, every answer compared.

mod compare;
mod naive;
mod ops;

use proptest::prelude::*;
use store::{Store, StoreOptions, StreamOptions};

use ops::{World, limits, op};

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_memory_stream_does_what_the_model_does(
        limits in limits(),
        ops in proptest::collection::vec(op(), 1..120),
    ) {
        let store = Store::in_memory(StoreOptions::default());
        let options = StreamOptions { segment_bytes: 700, limits, ..StreamOptions::memory() };
        let stream = store.create("S", options, b"").unwrap();
        let mut world = World::new(stream, options);
        for op in ops {
            world.apply(&op)?;
        }
    }
}
