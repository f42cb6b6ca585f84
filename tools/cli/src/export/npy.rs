//! Writing `.npy`: the header that `numpy.save` writes, then the elements in C order.

use crate::grid::tuple;
use chunkstore_store::DType;

/// The digits that NumPy leaves room for in the first extent, so that a file can grow in place.
const GROWTH_DIGITS: usize = 21;

/// An array of this type and shape.
pub(crate) struct Npy {
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
}

impl Npy {
    /// The header, byte for byte as NumPy writes it (`numpy.lib.format`, version 1.0).
    pub(super) fn header(&self) -> Vec<u8> {
        let size = self.dtype.size();
        let kind = match self.dtype {
            DType::Bool => 'b',
            DType::I8 | DType::I16 | DType::I32 | DType::I64 => 'i',
            DType::U8 | DType::U16 | DType::U32 | DType::U64 => 'u',
            DType::F32 | DType::F64 => 'f',
        };
        let order = if size == 1 { '|' } else { '<' };
        let mut text = format!("{{'descr': '{order}{kind}{size}', 'fortran_order': False, 'shape': {}, }}", tuple(&self.shape));
        if let Some(first) = self.shape.first() {
            text += &" ".repeat(GROWTH_DIGITS - first.to_string().len());
        }
        // Magic, version and length are 10 bytes; a newline ends the text at a multiple of 64.
        text += &" ".repeat(64 - (10 + text.len() + 1) % 64);
        text.push('\n');
        let mut header = b"\x93NUMPY\x01\x00".to_vec();
        header.extend((text.len() as u16).to_le_bytes());
        header.extend(text.into_bytes());
        header
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_of_numpy() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/npy");
        let mut compared = 0;
        for (name, dtype) in [("bool-one", DType::Bool), ("float64-le", DType::F64), ("int16-le", DType::I16), ("uint8-one", DType::U8)] {
            for (kind, shape) in [("0d", vec![]), ("1d", vec![7]), ("3d", vec![2, 3, 4]), ("zero", vec![0, 3])] {
                let Ok(file) = std::fs::read(folder.join(format!("{name}-{kind}.npy"))) else { continue };
                let text = String::from_utf8_lossy(&file);
                if !text.contains(&format!("'shape': {}", tuple(&shape))) {
                    continue;
                }
                let header = Npy { dtype, shape }.header();
                assert_eq!(file.get(..header.len()).unwrap(), header, "{name}-{kind}");
                compared += 1;
            }
        }
        assert!(compared >= 8, "{compared}");
    }
}
