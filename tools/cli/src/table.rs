//! Columns under each other.

/// Which side of its column a cell keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// Rows of cells, each column as wide as its widest cell.
pub(crate) struct Table {
    sides: Vec<Side>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table of no rows, with a side for each column.
    pub(crate) fn new(sides: impl IntoIterator<Item = Side>) -> Self {
        Table { sides: sides.into_iter().collect(), rows: Vec::new() }
    }

    /// Appends a row.
    pub(crate) fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The lines, without blanks at their ends.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut widths = vec![0; self.sides.len()];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let line = |row: &Vec<String>| {
            let mut line = String::new();
            for (at, ((cell, side), width)) in row.iter().zip(&self.sides).zip(&widths).enumerate() {
                let blanks = " ".repeat(width - cell.chars().count());
                let gap = if at == 0 { "" } else { "  " };
                line += gap;
                match side {
                    Side::Left => line.extend([cell, blanks.as_str()]),
                    Side::Right => line.extend([blanks.as_str(), cell]),
                }
            }
            line.truncate(line.trim_end().len());
            line
        };
        self.rows.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Side, Table};

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new([Side::Left, Side::Right, Side::Left]);
        table.row(["a", "1", "x"]);
        table.row(["übrig", "1000", ""]);
        table.row(["", "7", "end"]);
        assert_eq!(table.lines(), ["a         1  x", "übrig  1000", "          7  end"]);
    }
}
