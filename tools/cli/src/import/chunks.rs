//! How the user says that an array is to be cut.

use chunkstore::array::{Auto, AxisChunks, Chunking};
use chunkstore::engine::parse_bytes;

/// Reads `auto`, `8MiB`, `250` or `250,-1,auto`.
pub(crate) fn chunking(text: &str) -> Result<Chunking, String> {
    let text = text.trim();
    if text == "auto" {
        return Ok(Auto.into());
    }
    if !text.contains(',')
        && text.ends_with(['b', 'B', 'i'])
        && let Ok(bytes) = parse_bytes(text)
        && bytes > 0
    {
        return Ok(Chunking::bytes(usize::try_from(bytes).unwrap_or(usize::MAX)));
    }
    let axes = text.split(',').map(|axis| match axis.trim() {
        "auto" => Ok(AxisChunks::Auto),
        "-1" => Ok(AxisChunks::Whole),
        axis => axis.parse().ok().filter(|size| *size > 0).map(AxisChunks::Size).ok_or_else(|| {
            format!("{axis:?} is no chunk size: write the size on each axis, such as 250,-1,auto (-1 is the whole axis), one size for all, or bytes such as 8MiB")
        }),
    });
    let axes: Vec<AxisChunks> = axes.collect::<Result<_, String>>()?;
    Ok(match axes.as_slice() {
        [AxisChunks::Size(size)] => Chunking::from(*size),
        [AxisChunks::Whole] => Chunking::from(-1),
        _ => axes.into(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use chunkstore_store::DType;

    #[test]
    fn chunks_are_read_as_people_write_them() {
        let first = |text: &str| chunking(text).unwrap().resolve(&[1000, 600], DType::F64).unwrap().block_shape(0).to_vec();
        assert_eq!([first("100"), first("-1"), first("250,-1"), first(" 7 , 60 ")], [[100, 100], [1000, 600], [250, 600], [7, 60]]);
        assert_eq!([first("auto"), first("9600B"), first("auto,60")], [[1000, 600], [2, 600], [1000, 60]]);
        for text in ["", "0", "-2", "x", "1,,2", "1.5"] {
            assert!(chunking(text).err().unwrap().contains("8MiB"), "{text}");
        }
    }
}
