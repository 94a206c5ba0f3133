//! demo
use crate::cli::{Demo, Guard};
use crate::output::{Failure, Output};
pub(crate) fn run(_options: &Demo, _output: Output) -> Result<(), Failure> { Ok(()) }
pub(crate) fn guard(_options: &Guard, _output: Output) -> Result<(), Failure> { Ok(()) }
