//! What connections are to get in this turn, without anything kept for each of them.
//!
//! A *run* is a sequence of frames, named by a number; 0 is the empty one. A run is another one with
//! one frame more, so that all the runs of a turn are a tree, and those of a broadcast are one path
//! in it: a connection that gets another frame has its number exchanged for another, and those that
//! have the same number at the end get the same frames.

use std::collections::HashMap;

use super::Frame;

/// A sequence of frames.
pub type Run = u32;

struct Node {
    before: Run,
    frame: Frame,
}

/// The runs of one turn.
#[derive(Default)]
pub struct Runs {
    /// Run `n` is node `n - 1`.
    nodes: Vec<Node>,
}

/// One frame after whatever a connection gets before it.
pub struct Append {
    frame: Frame,
    /// What the runs that it came after have become.
    after: HashMap<Run, Run>,
    last: Option<(Run, Run)>,
}

impl Append {
    pub fn new(frame: Frame) -> Self {
        Self {
            frame,
            after: HashMap::new(),
            last: None,
        }
    }
}

impl Runs {
    /// The run that is `run` and the appended frame.
    pub fn append(&mut self, append: &mut Append, run: Run) -> Run {
        if let Some((before, after)) = append.last
            && before == run
        {
            return after;
        }
        let after = *append.after.entry(run).or_insert_with(|| {
            self.nodes.push(Node {
                before: run,
                frame: append.frame.clone(),
            });
            Run::try_from(self.nodes.len()).unwrap_or_default()
        });
        append.last = Some((run, after));
        after
    }

    /// Its frames, in order.
    pub fn frames(&self, run: Run) -> Vec<Frame> {
        let mut frames = Vec::new();
        let mut run = run;
        while let Some(node) = self.node(run) {
            frames.push(node.frame.clone());
            run = node.before;
        }
        frames.reverse();
        frames
    }

    fn node(&self, run: Run) -> Option<&Node> {
        self.nodes.get(usize::try_from(run).ok()?.checked_sub(1)?)
    }

    /// The turn is over; no run is worth anything any more.
    pub fn clear(&mut self) {
        self.nodes.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Connections get frames as if each kept a list of its own, and the same run is the same list.
        #[test]
        fn runs_are_lists(sends in prop::collection::vec(prop::collection::vec(0..5_usize, 0..8), 0..20)) {
            let mut runs = Runs::default();
            let mut connections = [0; 5].map(|run: Run| (run, Vec::<Frame>::new()));
            for (n, to) in sends.iter().enumerate() {
                let frame = Frame::from(n.to_string());
                let mut append = Append::new(frame.clone());
                for to in to {
                    let (run, list) = &mut connections[*to];
                    *run = runs.append(&mut append, *run);
                    list.push(frame.clone());
                }
            }
            for (run, list) in &connections {
                prop_assert_eq!(&runs.frames(*run), list);
                for (other, other_list) in &connections {
                    prop_assert_eq!(run == other, list == other_list);
                }
            }
        }
    }
}
