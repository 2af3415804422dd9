//! Header blocks: what was accepted can be rewritten, and says the same afterwards.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::headers::{build, parse};

fuzz_target!(|block: &[u8]| {
    if let Ok(headers) = parse(block) {
        let pairs: Vec<_> = headers.iter().collect();
        for (name, value) in &pairs {
            assert!(!name.is_empty() && !name.iter().chain(*value).any(|b| matches!(b, b'\r' | b'\n')));
        }
        let same = headers.strip(&[]);
        let again = parse(&same).expect("still a block");
        assert_eq!(again.iter().collect::<Vec<_>>(), pairs);
        assert_eq!((again.status(), again.description()), (headers.status(), headers.description()));

        if let Some((name, _)) = pairs.first() {
            let stripped = headers.strip(&[name]);
            assert_eq!(parse(&stripped).expect("still a block").get_ignore_case(name), None);
        }
        let added = headers.append(&[(b"Added", b"yes")]).expect("a good header");
        let added = parse(&added).expect("still a block");
        assert_eq!(added.iter().last(), Some((b"Added".as_slice(), b"yes".as_slice())));
        assert_eq!(added.iter().count(), pairs.len() + 1);
    }
    // As a name and a value: refused, or found again.
    let (name, value) = block.split_at(block.len() / 2);
    if let Ok(built) = build(&[(name, value)]) {
        let found = parse(&built).expect("a block");
        assert_eq!(found.iter().count(), 1);
        assert!(found.get(name).is_some());
    }
});
