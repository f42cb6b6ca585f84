//! Encoded records: any bytes are records of a type or errors, and never more records than bytes for them.
#![no_main]

use chunkstore_store::{Arena, Ledger, Records};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;

type Nested = (u64, String, Vec<Vec<u8>>, Option<i32>, BTreeMap<String, (char, bool, f64)>);

fuzz_target!(|input: (u8, u8, Vec<u8>)| {
    let (which, count, bytes) = input;
    let arena = Arena::new(Ledger::new(16 << 20));
    let mut buffer = arena.alloc(bytes.len()).unwrap();
    buffer.copy_from_slice(&bytes);
    let records = Records { data: buffer.freeze(), count: count.into() };
    match which % 5 {
        0 => records.iter::<u64>().for_each(drop),
        1 => records.iter::<String>().for_each(drop),
        2 => {
            // What was decoded is encoded to something that decodes to it.
            let values: Vec<Nested> = records.iter::<Nested>().map_while(Result::ok).collect();
            let again = Records::encode(&arena, &values).unwrap();
            let back: Vec<Nested> = again.iter::<Nested>().map(Result::unwrap).collect();
            assert!(format!("{back:?}") == format!("{values:?}"));
        }
        3 => records.iter::<Vec<Vec<String>>>().for_each(drop),
        _ => records.iter::<Vec<()>>().for_each(drop),
    }
});
