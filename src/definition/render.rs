//! Problems as people read them: the file, the line, a caret, and what to do. As JSON, a `Problem` serializes itself.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Patch, Renderer, Snippet};

use super::Problem;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    /// With ANSI colours.
    Colored,
}

/// Renders one problem. `text` is that of the file which the problem is in.
pub fn render(problem: &Problem, text: &str, style: Style) -> String {
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Colored => Renderer::styled(),
    };
    let renderer = renderer.decor_style(DecorStyle::Ascii);
    // A caret under nothing would be invisible: show at least one character.
    let start = problem.span.start.min(text.len());
    let one = text.get(start..).and_then(|rest| rest.chars().next()).filter(|c| *c != '\n').map_or(0, char::len_utf8);
    let span = start..problem.span.end.max(start + one).min(text.len());
    let snippet = Snippet::source(text).path(problem.file.as_str());
    let annotation = AnnotationKind::Primary.span(span.clone());
    let title = Level::ERROR.primary_title(problem.message.as_str()).id(problem.rule);
    let mut main = title.element(snippet.annotation(annotation));
    let mut groups: Vec<Group<'_>> = Vec::new();
    match (&problem.help, &problem.fix) {
        (help, Some(fix)) => {
            let title = Level::HELP.secondary_title(help.as_deref().unwrap_or("write this instead"));
            let patch = Snippet::source(text).path(problem.file.as_str()).patch(Patch::new(span, fix.as_str()));
            groups.push(title.element(patch));
        }
        (Some(help), None) => main = main.element(Level::HELP.message(help.as_str())),
        (None, None) => {}
    }
    groups.insert(0, main);
    let mut out = renderer.render(&groups);
    out.push('\n');
    out
}

/// The form that GitHub shows beside the line of a pull request.
pub fn render_github(problem: &Problem) -> String {
    let escape = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| escape(text).replace(':', "%3A").replace(',', "%2C");
    let help = problem.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
    format!(
        "::error file={},line={},col={},title={}::{}",
        property(&problem.file),
        problem.line,
        problem.column,
        property(problem.rule),
        escape(&format!("{}{help}", problem.message))
    )
}
