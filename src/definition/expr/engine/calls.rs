//! Our functions as CEL calls them.

use ::cel::common::types::DYN_TYPE;
use ::cel::common::value::CowVal;
use ::cel::{DeclarationError, Env, ExecutionError};

use super::super::functions::{FUNCTIONS, Function};
use super::{Evaluated, RESULT_MAX, from_json, owned, to_json, values};

/// Makes every function known, with each number of arguments that it takes.
pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    for (function, call) in FUNCTIONS.iter().zip(CALLS) {
        let most = function.takes.len();
        for count in most - function.optional..=most {
            let id = format!("{}_{count}", function.name);
            env.add_overload(function.name, &id, std::iter::repeat_with(|| DYN_TYPE).take(count).collect(), call)?;
        }
    }
    Ok(())
}

type Call = for<'b, 'v> fn(Vec<CowVal<'b, 'v>>) -> Evaluated<'b, 'v>;

/// CEL takes plain functions, which know nothing of the table: each knows its place in it.
fn nth<'b, 'v, const AT: usize>(args: Vec<CowVal<'b, 'v>>) -> Evaluated<'b, 'v> {
    run(&FUNCTIONS[AT], &args)
}

fn run<'b, 'v>(function: &Function, args: &[CowVal<'b, 'v>]) -> Evaluated<'b, 'v> {
    let mut budget = RESULT_MAX;
    let json = values(args)?.iter().map(|value| to_json(value, &mut budget)).collect::<Result<Vec<_>, _>>();
    let json = json.map_err(|_| ExecutionError::function_error(function.name, "the arguments are too large"))?;
    let value = (function.run)(&json).map_err(|why| ExecutionError::function_error(function.name, why))?;
    owned(from_json(&value))
}

const CALLS: [Call; FUNCTIONS.len()] = [
    nth::<0>, nth::<1>, nth::<2>, nth::<3>, nth::<4>, nth::<5>, nth::<6>, nth::<7>, nth::<8>, nth::<9>, nth::<10>,
    nth::<11>, nth::<12>, nth::<13>, nth::<14>, nth::<15>, nth::<16>, nth::<17>, nth::<18>, nth::<19>, nth::<20>,
    nth::<21>, nth::<22>, nth::<23>, nth::<24>, nth::<25>, nth::<26>,
];
