//! The JSON of CONNECT and INFO: no panic, and what was read is written as one line and read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::info::{ConnectOptions, LeafConnect, LeafInfo, ServerInfo};

macro_rules! read_back {
    ($type:ty, $verb:literal, $json:expr) => {
        if let Ok(value) = <$type>::parse($json) {
            let line = value.to_line();
            let json = line.strip_prefix($verb).and_then(|rest| rest.strip_suffix(b"\r\n")).expect("a line");
            assert!(!json.iter().any(|b| matches!(b, b'\r' | b'\n')), "more than one line");
            assert_eq!(<$type>::parse(json).expect("readable"), value);
            let _ = format!("{value:?}");
        }
    };
}

fuzz_target!(|json: &[u8]| {
    read_back!(ConnectOptions, b"CONNECT ", json);
    read_back!(LeafConnect, b"CONNECT ", json);
    read_back!(LeafInfo, b"INFO ", json);
    read_back!(ServerInfo, b"INFO ", json);
});
