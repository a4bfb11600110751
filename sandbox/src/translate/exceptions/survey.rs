//! What has to be known of a function before its first `try` can be written.

use wasmparser::{BlockType, FunctionBody, Operator};

use super::{TranslateError, unusual};

/// Where an exception goes that a `try` delegates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// To the `try` of this number, as if its body had thrown it.
    Try(usize),
    /// To the function's caller.
    Caller,
}

/// A clause of a `try`.
#[derive(Debug)]
pub(super) struct Clause {
    /// `None`: it catches everything.
    pub(super) tag: Option<u32>,
    /// Whether a `rethrow` names it.
    pub(super) is_rethrown: bool,
}

/// A `try`.
#[derive(Debug)]
pub(super) struct Try {
    pub(super) ty: BlockType,
    pub(super) clauses: Vec<Clause>,
    pub(super) delegates: Option<Target>,
    /// Whether others delegate to it.
    pub(super) is_target: bool,
}

/// All `try` of a function, in the order of their beginnings.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) tries: Vec<Try>,
    /// Whether one delegates to the caller.
    pub(super) caller_is_target: bool,
    /// The most clauses with a `rethrow` that lie in each other.
    pub(super) references: u32,
}

/// What has been opened and not closed.
enum Frame {
    Other,
    Body(usize),
    Clause { of: usize, index: usize },
}

impl Survey {
    /// Looks through a function; `None` if it has no exceptions of the older kind.
    pub(super) fn of(body: &FunctionBody<'_>) -> Result<Option<Self>, TranslateError> {
        let mut survey = Self::default();
        let mut has_tables = false;
        let mut frames = vec![Frame::Other];
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            match operators.read()? {
                Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => frames.push(Frame::Other),
                Operator::TryTable { .. } => {
                    has_tables = true;
                    frames.push(Frame::Other);
                }
                Operator::Try { blockty } => {
                    frames.push(Frame::Body(survey.tries.len()));
                    survey.tries.push(Try { ty: blockty, clauses: Vec::new(), delegates: None, is_target: false });
                }
                Operator::Catch { tag_index } => survey.clause(&mut frames, Some(tag_index))?,
                Operator::CatchAll => survey.clause(&mut frames, None)?,
                Operator::Rethrow { relative_depth } => match outwards(&frames, relative_depth).next() {
                    Some(&Frame::Clause { of, index }) => survey.tries[of].clauses[index].is_rethrown = true,
                    _ => return Err(unusual("throws again what it has not caught")),
                },
                Operator::Delegate { relative_depth } => {
                    let Some(Frame::Body(inner)) = frames.pop() else {
                        return Err(unusual("delegates outside of a `try`"));
                    };
                    let outer = outwards(&frames, relative_depth).find_map(|frame| match frame {
                        Frame::Body(outer) => Some(Target::Try(*outer)),
                        _ => None,
                    });
                    survey.tries[inner].delegates = Some(outer.unwrap_or(Target::Caller));
                }
                Operator::End => drop(frames.pop()),
                _ => {}
            }
        }
        if survey.tries.is_empty() {
            return Ok(None);
        }
        if has_tables {
            return Err(unusual("has those of the standard in the same function"));
        }
        survey.find_targets();
        Ok(Some(survey))
    }

    fn clause(&mut self, frames: &mut Vec<Frame>, tag: Option<u32>) -> Result<(), TranslateError> {
        let Some(Frame::Body(of) | Frame::Clause { of, .. }) = frames.pop() else {
            return Err(unusual("catches outside of a `try`"));
        };
        frames.push(Frame::Clause { of, index: self.tries[of].clauses.len() });
        let within = frames.iter().filter(|frame| matches!(frame, Frame::Clause { .. })).count();
        self.references = self.references.max(u32::try_from(within).unwrap_or(u32::MAX));
        self.tries[of].clauses.push(Clause { tag, is_rethrown: false });
        Ok(())
    }

    /// What is delegated to a `try` that delegates itself goes where that one leads. An outer one
    /// has a smaller number, so its own target is final already.
    fn find_targets(&mut self) {
        for index in 0..self.tries.len() {
            let target = match self.tries[index].delegates {
                Some(Target::Try(outer)) => self.tries[outer].delegates.unwrap_or(Target::Try(outer)),
                Some(Target::Caller) => Target::Caller,
                None => continue,
            };
            self.tries[index].delegates = Some(target);
            match target {
                Target::Try(outer) => self.tries[outer].is_target = true,
                Target::Caller => self.caller_is_target = true,
            }
        }
    }
}

/// The frames from the one of this depth outwards.
fn outwards(frames: &[Frame], depth: u32) -> impl Iterator<Item = &Frame> {
    frames.iter().rev().skip(depth as usize)
}
