//! The variables that an expression expects from outside.

use std::collections::BTreeSet;

use cel::common::ast::{EntryExpr, Expr, IdedEntryExpr, IdedExpr};

/// The names that an expression uses and does not bind itself, as `exists` and
/// its kin do.
pub(super) fn free_variables(expression: &IdedExpr) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(expression, &mut Vec::new(), &mut found);
    found
}

fn collect<'a>(expression: &'a IdedExpr, bound: &mut Vec<&'a str>, found: &mut BTreeSet<String>) {
    match &expression.expr {
        Expr::Ident(name) if !bound.contains(&name.as_str()) => {
            found.insert(name.clone());
        }
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
        Expr::Call(call) => {
            call.target.iter().map(|target| &**target).chain(&call.args).for_each(|part| collect(part, bound, found));
        }
        Expr::Select(select) => collect(&select.operand, bound, found),
        Expr::List(list) => list.elements.iter().for_each(|element| collect(element, bound, found)),
        Expr::Map(map) => entries(&map.entries, bound, found),
        Expr::Struct(object) => entries(&object.entries, bound, found),
        Expr::Comprehension(of) => {
            for outside in [&of.iter_range, &of.accu_init] {
                collect(outside, bound, found);
            }
            let outer = bound.len();
            bound.extend([of.iter_var.as_str(), of.accu_var.as_str()]);
            bound.extend(of.iter_var2.as_deref());
            for inside in [&of.loop_cond, &of.loop_step, &of.result] {
                collect(inside, bound, found);
            }
            bound.truncate(outer);
        }
    }
}

fn entries<'a>(entries: &'a [IdedEntryExpr], bound: &mut Vec<&'a str>, found: &mut BTreeSet<String>) {
    for entry in entries {
        match &entry.expr {
            EntryExpr::StructField(field) => collect(&field.value, bound, found),
            EntryExpr::MapEntry(entry) => {
                collect(&entry.key, bound, found);
                collect(&entry.value, bound, found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use cel::Program;

    use super::*;

    #[test]
    fn what_is_bound_inside_is_not_expected_from_outside() {
        for (text, expected) in [
            ("1 + 2", vec![]),
            ("a.b.c == d[e]", vec!["a", "d", "e"]),
            ("list.exists(x, x == y)", vec!["list", "y"]),
            ("x.all(x, x > 0)", vec!["x"]),
            ("a.filter(x, b.all(y, y > x)).map(z, z + x)", vec!["a", "b", "x"]),
            ("{k: [v]}", vec!["k", "v"]),
            ("size(a) > 0 && has(b.c) ? f : !g", vec!["a", "b", "f", "g"]),
        ] {
            let program = Program::compile(text).expect(text);
            let found = free_variables(program.expression());
            assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{text}");
        }
    }
}
