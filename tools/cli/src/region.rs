//! Boxes in an array, and copying what two of them share.

/// A box in an array: where it begins and how far it goes on each axis. Its elements stand in C order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region<'a> {
    pub(crate) start: &'a [usize],
    pub(crate) shape: &'a [usize],
}

/// Copies the elements that both boxes have, each of `size` bytes. The slices hold all elements of their boxes.
pub(crate) fn copy_shared(size: usize, source: Region<'_>, from: &[u8], target: Region<'_>, into: &mut [u8]) {
    let axes = source.shape.len();
    let begin: Vec<usize> = source.start.iter().zip(target.start).map(|(a, b)| *a.max(b)).collect();
    let end = |at: usize| (source.start[at] + source.shape[at]).min(target.start[at] + target.shape[at]);
    let extents: Vec<usize> = begin.iter().enumerate().map(|(at, begin)| end(at).saturating_sub(*begin)).collect();
    if extents.contains(&0) {
        return;
    }
    // The last axis is copied as a run, and so are the axes before it as long as both boxes are covered whole behind them.
    let run = extents.last().copied().unwrap_or(1) * size;
    let (from_steps, into_steps) = (steps(source.shape, size), steps(target.shape, size));
    let offset = |region: &Region<'_>, steps: &[usize]| (0..axes).map(|at| (begin[at] - region.start[at]) * steps[at]).sum::<usize>();
    let (mut from_at, mut into_at) = (offset(&source, &from_steps), offset(&target, &into_steps));
    let mut index = vec![0; axes.saturating_sub(1)];
    loop {
        into[into_at..into_at + run].copy_from_slice(&from[from_at..from_at + run]);
        // The next index, last axis but one fastest.
        let Some(axis) = (0..index.len()).rev().find(|axis| index[*axis] + 1 < extents[*axis]) else { return };
        index[axis] += 1;
        from_at += from_steps[axis];
        into_at += into_steps[axis];
        for back in axis + 1..index.len() {
            from_at -= index[back] * from_steps[back];
            into_at -= index[back] * into_steps[back];
            index[back] = 0;
        }
    }
}

/// The bytes from an element to the next on each axis.
fn steps(shape: &[usize], size: usize) -> Vec<usize> {
    let mut steps = vec![size; shape.len()];
    for at in (0..shape.len().saturating_sub(1)).rev() {
        steps[at] = steps[at + 1] * shape[at + 1];
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The elements of a box of an array of shape (10, 10, 10), which say where they are.
    fn elements(region: Region<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        let [a, b, c] = [region.shape[0], region.shape[1], region.shape[2]];
        for i in 0..a * b * c {
            let at = [i / (b * c), i / c % b, i % c];
            let number: usize = at.iter().zip(region.start).fold(0, |n, (at, start)| n * 10 + at + start);
            out.extend((number as u16).to_le_bytes());
        }
        out
    }

    #[test]
    fn what_is_shared_is_copied_to_its_place() {
        let source = Region { start: &[2, 0, 3], shape: &[4, 10, 5] };
        for (start, shape) in [([0, 0, 0], [10, 10, 10]), ([3, 4, 5], [1, 1, 1]), ([5, 0, 0], [2, 10, 4]), ([0, 9, 7], [10, 1, 3])] {
            let target = Region { start: &start, shape: &shape };
            let mut into = vec![255; shape.iter().product::<usize>() * 2];
            copy_shared(2, source, &elements(source), target, &mut into);
            let wanted = elements(target);
            let mut copied = 0;
            for (i, (found, wanted)) in into.chunks(2).zip(wanted.chunks(2)).enumerate() {
                let at = [i / (shape[1] * shape[2]) + start[0], i / shape[2] % shape[1] + start[1], i % shape[2] + start[2]];
                let inside = (0..3).all(|axis| (source.start[axis]..source.start[axis] + source.shape[axis]).contains(&at[axis]));
                assert_eq!(found, if inside { wanted } else { &[255, 255] }, "{at:?}");
                copied += usize::from(inside);
            }
            assert!(copied > 0);
        }
        let apart = Region { start: &[6, 0, 0], shape: &[2, 2, 2] };
        let mut into = [9; 16];
        copy_shared(2, source, &elements(source), apart, &mut into);
        assert_eq!(into, [9; 16]);
    }

    #[test]
    fn a_single_element_has_no_axes() {
        let mut into = [0; 2];
        let point = Region { start: &[], shape: &[] };
        copy_shared(2, point, &[3, 4], point, &mut into);
        assert_eq!(into, [3, 4]);
    }
}
