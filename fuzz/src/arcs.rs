//! Architectures: both text forms, lists of integers, files.

use enas_arc::Arc;

use crate::place;

/// Reads an architecture as text, as integers and as a file. Writing an accepted one and reading it again must give
/// the same.
pub fn arcs(data: &[u8]) {
    let numbers: Vec<i64> = data.iter().map(|&byte| i64::from(byte as i8)).collect();
    if let Ok(arc) = Arc::from_ints(&numbers) {
        unchanged(&arc);
    }
    let file = enas_search::read_arc(&place::file("arc.txt", data)).ok();
    file.iter().for_each(unchanged);
    let Ok(text) = std::str::from_utf8(data) else { return };
    for arc in
        [Arc::parse_any(text).ok(), text.parse().ok(), serde_json::from_str(text).ok()].into_iter().flatten()
    {
        unchanged(&arc);
    }
}

fn unchanged(arc: &Arc) {
    let numbers: Vec<i64> = arc.to_ints().into_iter().map(|n| n as i64).collect();
    assert_eq!(Arc::from_ints(&numbers).as_ref(), Ok(arc));
    assert_eq!(arc.to_string().parse().as_ref(), Ok(arc));
    assert_eq!(Arc::parse_any(&arc.readable()).as_ref(), Ok(arc));
    assert_eq!(arc.canonical().canonical(), arc.canonical());
}
