//! Writing the body of a function anew.

use wasmparser::{BlockType, BrTable, FunctionBody, Operator};

use super::survey::{Survey, Target};
use super::{Module, TranslateError, unusual};
use crate::translate::write::{Bytes, EXNREF, NO_RESULT, operator};

/// Kinds of catch clauses of a `try_table` (binary format, 5.4.1).
const CATCH: u8 = 0;
const CATCH_REF: u8 = 1;
const CATCH_ALL: u8 = 2;
const CATCH_ALL_REF: u8 = 3;

/// A block of what is written, counted from the function itself, which is 0.
type Label = u32;

/// What has been opened in the function and not closed, and where a branch to it leads.
enum Frame {
    /// A block, or a `try` that became one.
    Block { label: Label },
    /// A `try` with clauses.
    Try {
        /// Its number, and that of the clause that is being written; `None` in its body.
        number: usize,
        clause: Option<usize>,
        /// The block around everything.
        done: Label,
        /// The block in the body that takes what others delegate.
        delegated: Option<Label>,
        /// The local variable of the clause's exception.
        reference: Option<u32>,
    },
}

/// Writes a function's body: its variables, then its operators.
pub(super) fn translate(
    module: &mut Module,
    wasm: &[u8],
    body: &FunctionBody<'_>,
    survey: &Survey,
    parameters: u32,
) -> Result<Vec<u8>, TranslateError> {
    let mut writer = Writer { module, survey, out: Bytes::default(), open: 1, frames: Vec::new(), met: 0, first: 0 };
    writer.locals(wasm, body, parameters)?;
    writer.frames.push(Frame::Block { label: 0 });
    if survey.caller_is_target {
        writer.open_block(&[EXNREF]);
    }
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        let start = operators.original_position();
        let operator = operators.read()?;
        let raw = wasm.get(start..operators.original_position()).unwrap_or_default();
        writer.operator(&operator, raw)?;
    }
    Ok(writer.out.into())
}

struct Writer<'a> {
    module: &'a mut Module,
    survey: &'a Survey,
    out: Bytes,
    /// Blocks that are open in what was written, the function's own included.
    open: u32,
    frames: Vec<Frame>,
    /// How many `try` were met.
    met: usize,
    /// The first of the variables that hold exceptions.
    first: u32,
}

impl Writer<'_> {
    /// Copies the declarations of variables, and adds those for exceptions.
    fn locals(&mut self, wasm: &[u8], body: &FunctionBody<'_>, parameters: u32) -> Result<(), TranslateError> {
        let mut locals = body.get_locals_reader()?;
        let mut count = parameters;
        let start = locals.original_position();
        for _ in 0..locals.get_count() {
            count = count.saturating_add(locals.read()?.0);
        }
        let raw = wasm.get(start..locals.original_position()).unwrap_or_default();
        self.first = count;
        self.out.number(locals.get_count().saturating_add(1));
        self.out.raw(raw);
        self.out.number(self.survey.references);
        self.out.byte(EXNREF);
        Ok(())
    }

    fn operator(&mut self, operator: &Operator<'_>, raw: &[u8]) -> Result<(), TranslateError> {
        match operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                self.out.raw(raw);
                self.frames.push(Frame::Block { label: self.open });
                self.open += 1;
            }
            Operator::Br { relative_depth } => self.branch(operator::BR, *relative_depth)?,
            Operator::BrIf { relative_depth } => self.branch(operator::BR_IF, *relative_depth)?,
            Operator::BrTable { targets } => self.branch_table(targets)?,
            Operator::BrOnNull { .. }
            | Operator::BrOnNonNull { .. }
            | Operator::BrOnCast { .. }
            | Operator::BrOnCastFail { .. } => return Err(unusual("branches on references")),
            Operator::Try { .. } => self.begin()?,
            Operator::Catch { .. } | Operator::CatchAll => self.clause()?,
            Operator::Rethrow { relative_depth } => match self.frame(*relative_depth)? {
                &Frame::Try { reference: Some(reference), .. } => {
                    self.out.byte(operator::LOCAL_GET);
                    self.out.number(reference);
                    self.out.byte(operator::THROW_REF);
                }
                _ => return Err(unusual("throws again what it has not caught")),
            },
            // It was written as a `try_table`, where it leads.
            Operator::Delegate { .. } | Operator::End => self.end(),
            _ => self.out.raw(raw),
        }
        Ok(())
    }

    fn open_block(&mut self, ty: &[u8]) -> Label {
        self.out.byte(operator::BLOCK);
        self.out.raw(ty);
        self.open += 1;
        self.open - 1
    }

    fn close_block(&mut self) {
        self.out.byte(operator::END);
        self.open = self.open.saturating_sub(1);
    }

    fn branch_to(&mut self, label: Label) {
        self.out.byte(operator::BR);
        self.out.number(self.depth(label));
    }

    /// How many blocks lie between here and this one.
    fn depth(&self, label: Label) -> u32 {
        self.open.saturating_sub(1).saturating_sub(label)
    }

    fn frame(&self, depth: u32) -> Result<&Frame, TranslateError> {
        let index = self.frames.len().checked_sub(1).and_then(|last| last.checked_sub(depth as usize));
        index.and_then(|index| self.frames.get(index)).ok_or(unusual("branches out of a function"))
    }

    /// The depth, in what is written, of the block that is so deep in the original.
    fn translated(&self, depth: u32) -> Result<u32, TranslateError> {
        Ok(self.depth(match self.frame(depth)? {
            Frame::Block { label } => *label,
            Frame::Try { done, .. } => *done,
        }))
    }

    fn branch(&mut self, operator: u8, depth: u32) -> Result<(), TranslateError> {
        let depth = self.translated(depth)?;
        self.out.byte(operator);
        self.out.number(depth);
        Ok(())
    }

    fn branch_table(&mut self, table: &BrTable<'_>) -> Result<(), TranslateError> {
        self.out.byte(operator::BR_TABLE);
        self.out.number(table.len());
        for target in table.targets() {
            let depth = self.translated(target?)?;
            self.out.number(depth);
        }
        let depth = self.translated(table.default())?;
        self.out.number(depth);
        Ok(())
    }

    /// Begins the next `try`.
    fn begin(&mut self) -> Result<(), TranslateError> {
        let number = self.met;
        self.met += 1;
        let survey = self.survey;
        let this = survey.tries.get(number).ok_or(unusual("is not what it was"))?;
        let ty = block_type(this.ty, self.module)?;
        if let Some(target) = this.delegates {
            let target = self.taker(target)?;
            self.out.byte(operator::TRY_TABLE);
            self.out.raw(&ty);
            self.out.raw(&[1, CATCH_ALL_REF]);
            self.out.number(self.depth(target));
            self.frames.push(Frame::Block { label: self.open });
            self.open += 1;
            return Ok(());
        }
        let done = self.open_block(&ty);
        if this.clauses.is_empty() {
            self.frames.push(Frame::Block { label: done });
            return Ok(());
        }
        for clause in this.clauses.iter().rev() {
            let ty = self.module.handler_type(clause.tag, clause.is_rethrown)?;
            self.open_block(&ty);
        }
        self.out.byte(operator::TRY_TABLE);
        self.out.raw(&ty);
        self.out.number(u32::try_from(this.clauses.len()).unwrap_or(u32::MAX));
        for (depth, clause) in (0..).zip(&this.clauses) {
            match (clause.tag, clause.is_rethrown) {
                (Some(_), false) => self.out.byte(CATCH),
                (Some(_), true) => self.out.byte(CATCH_REF),
                (None, false) => self.out.byte(CATCH_ALL),
                (None, true) => self.out.byte(CATCH_ALL_REF),
            }
            clause.tag.into_iter().for_each(|tag| self.out.number(tag));
            self.out.number(depth);
        }
        self.open += 1;
        let delegated = this.is_target.then(|| self.open_block(&[EXNREF]));
        self.frames.push(Frame::Try { number, clause: None, done, delegated, reference: None });
        Ok(())
    }

    /// The block that takes what is delegated there.
    fn taker(&self, target: Target) -> Result<Label, TranslateError> {
        let Target::Try(wanted) = target else { return Ok(1) };
        let taker = self.frames.iter().find_map(|frame| match *frame {
            Frame::Try { number, delegated, .. } if number == wanted => delegated,
            _ => None,
        });
        taker.ok_or(unusual("delegates to what has ended"))
    }

    /// Ends what is before a clause, and begins it.
    fn clause(&mut self) -> Result<(), TranslateError> {
        let wrong = unusual("catches outside of a `try`");
        let Some(Frame::Try { number, clause, done, delegated, .. }) = self.frames.pop() else { return Err(wrong) };
        if clause.is_none() {
            if delegated.is_some() {
                self.branch_to(done);
                self.close_block();
                self.out.byte(operator::THROW_REF);
            }
            self.close_block();
        }
        self.branch_to(done);
        self.close_block();
        let index = clause.map_or(0, |clause| clause + 1);
        let survey = self.survey;
        let this = survey.tries.get(number).and_then(|this| this.clauses.get(index)).ok_or(wrong)?;
        let within = self.frames.iter().filter(|f| matches!(f, Frame::Try { clause: Some(_), .. })).count();
        let variable = self.first.saturating_add(u32::try_from(within).unwrap_or(u32::MAX));
        let reference = this.is_rethrown.then_some(variable);
        if let Some(reference) = reference {
            self.out.byte(operator::LOCAL_SET);
            self.out.number(reference);
        }
        self.frames.push(Frame::Try { number, clause: Some(index), done, delegated: None, reference });
        Ok(())
    }

    fn end(&mut self) {
        self.frames.pop();
        if self.frames.is_empty() && self.survey.caller_is_target {
            self.out.byte(operator::RETURN);
            self.close_block();
            self.out.byte(operator::THROW_REF);
        }
        self.close_block();
    }
}

/// The type of a `try`, encoded.
fn block_type(ty: BlockType, module: &Module) -> Result<Vec<u8>, TranslateError> {
    match ty {
        BlockType::Empty => Ok(vec![NO_RESULT]),
        BlockType::Type(ty) => super::value_type(ty).map(|ty| vec![ty]),
        BlockType::FuncType(index) => {
            if module.parameters(index).is_none_or(|parameters| !parameters.is_empty()) {
                return Err(unusual("has a `try` with parameters"));
            }
            let mut encoded = Bytes::default();
            encoded.signed(index.into());
            Ok(encoded.into())
        }
    }
}
