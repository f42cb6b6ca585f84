//! A picture of a grid of chunks.
//!
//! Of two axes it is the grid itself; a single axis goes on from line to line; more axes give a panel for each index of those before the last two. Where
//! the grid is larger than the page a character stands for several chunks, and shows the worst of them.

use crate::output::{Output, Style};

/// What is known of a chunk, from the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum State {
    /// Its bytes are not what was written.
    Damaged,
    /// It is not there.
    Missing,
    /// It waits in a scratch folder, and goes with it.
    Spilled,
    /// It is there.
    Present,
}

impl State {
    /// All of them, from the worst.
    pub(crate) const ALL: [State; 4] = [State::Damaged, State::Missing, State::Spilled, State::Present];

    /// Its name, also in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            State::Damaged => "damaged",
            State::Missing => "missing",
            State::Spilled => "spilled",
            State::Present => "present",
        }
    }

    /// The character for it, set off.
    pub(crate) fn drawn(self, output: &Output) -> String {
        let (block, plain, style) = match self {
            State::Damaged => ('X', 'X', Style::Red),
            State::Missing => ('·', '.', Style::Dim),
            State::Spilled => ('▒', '~', Style::Yellow),
            State::Present => ('█', '#', Style::Green),
        };
        output.style(style, if output.unicode() { block } else { plain })
    }
}

/// The most lines of a panel, and of all panels.
const PANEL: usize = 48;
const LINES: usize = 400;

/// A picture: its lines as states, some under a title, and how many chunks of each axis a character stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) panels: Vec<(Option<String>, Vec<Vec<State>>)>,
    pub(crate) scale: (usize, usize),
    /// The panels that are left out, with the worst state in them.
    pub(crate) left_out: Option<(usize, State)>,
}

impl Picture {
    /// The picture of a grid of so many chunks on each axis, whose states come in C order, in lines of at most `width` characters.
    pub(crate) fn new(numblocks: &[usize], states: &[State], width: usize) -> Picture {
        let width = width.max(1);
        let (panels, rows, columns) = match numblocks {
            [] => (&[][..], 1, 1),
            // As many to a line as a round number that fits.
            [n] => {
                let line = if *n <= width {
                    (*n).max(1)
                } else {
                    [50, 20, 10, 5, 1].into_iter().find(|round| *round <= width).map_or(1, |round| width / round * round)
                };
                return Picture {
                    panels: vec![(None, folded(states, line))],
                    scale: (1, states.len().div_ceil(line * LINES).max(1)),
                    left_out: None,
                };
            }
            [panels @ .., rows, columns] => (panels, *rows, *columns),
        };
        let (down, across) = (rows.div_ceil(PANEL).max(1), columns.div_ceil(width).max(1));
        let mut picture = Picture { panels: Vec::new(), scale: (down, across), left_out: None };
        let (mut lines, most) = (0, LINES);
        for (number, panel) in states.chunks((rows * columns).max(1)).enumerate() {
            if lines > 0 && lines + rows.div_ceil(down) + 1 > most {
                let worst = panel.iter().min().copied().unwrap_or(State::Present);
                let (count, old) = picture.left_out.unwrap_or((0, State::Present));
                picture.left_out = Some((count + 1, worst.min(old)));
                continue;
            }
            let title = (!panels.is_empty()).then(|| {
                let mut rest = number;
                let mut index: Vec<String> = panels
                    .iter()
                    .rev()
                    .map(|n| {
                        let at = rest % n;
                        rest /= n;
                        at.to_string()
                    })
                    .collect();
                index.reverse();
                format!("({}, :, :)", index.join(", "))
            });
            let mut cells = vec![vec![State::Present; columns.div_ceil(across)]; rows.div_ceil(down)];
            for (at, state) in panel.iter().enumerate() {
                let cell = &mut cells[at / columns / down][at % columns / across];
                *cell = (*cell).min(*state);
            }
            lines += cells.len() + usize::from(title.is_some());
            picture.panels.push((title, cells));
        }
        picture
    }
}

/// States in lines of a length; each stands for several where there would be too many lines.
fn folded(states: &[State], line: usize) -> Vec<Vec<State>> {
    let each = states.len().div_ceil(line * LINES).max(1);
    let cells: Vec<State> = states.chunks(each).map(|part| part.iter().min().copied().unwrap_or(State::Present)).collect();
    cells.chunks(line).map(<[State]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::State::{Damaged, Missing, Present};
    use super::*;

    fn text(picture: &Picture) -> Vec<String> {
        let letter = |state: &State| state.name()[..1].to_string();
        let panels = picture.panels.iter();
        panels
            .flat_map(|(title, lines)| {
                title.iter().cloned().chain(lines.iter().map(|line| line.iter().map(letter).collect())).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn two_axes_are_the_grid_itself() {
        let picture = Picture::new(&[2, 3], &[Present, Missing, Present, Damaged, Present, Present], 80);
        assert_eq!(text(&picture), ["pmp", "dpp"]);
        assert_eq!(Picture::new(&[], &[Missing], 80).panels, [(None, vec![vec![Missing]])]);
    }

    #[test]
    fn the_worst_shows_where_a_character_stands_for_several() {
        let mut states = vec![Present; 100 * 100];
        states[57 * 100 + 99] = Damaged;
        let picture = Picture::new(&[100, 100], &states, 50);
        assert_eq!(picture.scale, (3, 2));
        let lines = text(&picture);
        assert_eq!((lines.len(), lines[19].clone()), (34, format!("{}d", "p".repeat(49))));
        assert_eq!(lines.iter().filter(|line| line.contains('d')).count(), 1);
    }

    #[test]
    fn one_axis_goes_on_and_more_have_panels() {
        let mut states = vec![Present; 130];
        states[129] = Missing;
        assert_eq!(text(&Picture::new(&[130], &states, 70)), ["p".repeat(50), "p".repeat(50), format!("{}m", "p".repeat(29))]);
        let picture = Picture::new(&[2, 2, 1, 2], &[Present; 8], 80);
        assert_eq!(text(&picture), ["(0, 0, :, :)", "pp", "(0, 1, :, :)", "pp", "(1, 0, :, :)", "pp", "(1, 1, :, :)", "pp"]);
    }

    #[test]
    fn what_is_left_out_is_told() {
        let mut states = vec![Present; 1000];
        states[999] = Damaged;
        let picture = Picture::new(&[1000, 1, 1], &states, 80);
        assert_eq!((picture.panels.len(), picture.left_out), (200, Some((800, Damaged))));
        let long = Picture::new(&[100_000], &vec![Present; 100_000], 50);
        assert_eq!((long.scale, long.panels[0].1.len()), ((1, 5), 400));
    }
}
