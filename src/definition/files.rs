//! Definitions on disk. The only file of this room that does I/O.
//!
//! A workflow `<dir>/<name>.yaml` finds its connectors at `<dir>/connectors/<connector>.yaml` and its schemas by `$ref`
//! below `<dir>`. Nothing outside of `<dir>` is ever read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use super::document::{self, Kind, Node, TEXT_MAX};
use super::source::{Problems, Source};
use super::{Problem, Sources, Workflow, builtin, load, load_connector, rules};
use crate::types::Value;

/// More files than this in one directory are a mistake.
const FILES_MAX: usize = 1_000;
const SCHEMAS_MAX: usize = 100;
/// How deep folders of scenarios are looked into.
const FOLDERS_DEEP: usize = 8;

/// Definitions as texts, and what could not be had of them.
#[derive(Clone, Debug, Default)]
pub struct Library {
    pub workflows: Vec<Sources>,
    /// Path and text of each connector file, whether a workflow uses it or not.
    pub connectors: Vec<(String, String)>,
    /// Files that are there and cannot be read.
    unreadable: Vec<Problem>,
    /// Folders of scenarios that are not there.
    untested: Vec<Problem>,
}

/// Why the texts could not be had at all.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}: larger than 1 MiB", .0.display())]
    TooLarge(PathBuf),
    #[error("{}: not UTF-8", .0.display())]
    NotText(PathBuf),
    #[error("{}: not a regular file", .0.display())]
    NotAFile(PathBuf),
    #[error("{}: more than {FILES_MAX} files", .0.display())]
    TooMany(PathBuf),
}

impl Library {
    /// Every `*.yaml` of a directory, and its connectors. A file that cannot be read is a problem, and hides no other.
    pub fn read_dir(dir: &Path) -> Result<Self, ReadError> {
        let mut library = Self::default();
        yaml_files(dir)?.iter().for_each(|path| library.add(path));
        let connectors = dir.join("connectors");
        if connectors.is_dir() {
            yaml_files(&connectors)?.iter().for_each(|path| library.add(path));
        }
        Ok(library)
    }

    /// Adds one file: a connector, or a workflow with everything that it refers to.
    pub fn add(&mut self, path: &Path) {
        let text = match read(path) {
            Ok(text) => text,
            Err(error) => return self.unreadable.push(unreadable(&error, path)),
        };
        if is_connector(&text) {
            return self.connectors.push((shown(path), text));
        }
        let mut errors = Vec::new();
        let sources = gather(path, text, &mut errors);
        self.unreadable.extend(errors.iter().map(|(path, error)| unreadable(error, path)));
        self.untested.extend(untested(&sources));
        self.workflows.push(sources);
    }

    /// There is no definition in it, whether right or wrong.
    pub fn is_empty(&self) -> bool {
        self.workflows.is_empty() && self.connectors.is_empty() && self.unreadable.is_empty()
    }

    /// One workflow with everything that it refers to. What is not there is left out, and `load` says so.
    pub fn read_file(path: &Path) -> Result<Sources, ReadError> {
        let mut errors = Vec::new();
        let sources = gather(path, read(path)?, &mut errors);
        errors.into_iter().next().map_or(Ok(sources), |(_, error)| Err(error))
    }

    /// Every problem: those of `load`, and what is missing beside the files.
    pub fn check(&self) -> Vec<Problem> {
        sorted(self.load().1.into_iter().chain(self.untested.iter().cloned()))
    }

    /// Loads every workflow and every connector. A problem that several of them share is there once.
    pub fn load(&self) -> (Vec<Workflow>, Vec<Problem>) {
        let (mut workflows, mut problems) = (Vec::new(), Vec::new());
        for sources in &self.workflows {
            match load(sources.clone()) {
                Ok(workflow) => workflows.push(workflow),
                Err(found) => problems.extend(found),
            }
        }
        let unused = self.connectors.iter().filter_map(|(path, text)| load_connector(path, text).err());
        problems.extend(unused.flatten());
        problems.extend(self.twice());
        problems.extend(self.unreadable.iter().cloned());
        (workflows, sorted(problems))
    }

    /// Workflows whose name another file has taken: orders could not tell which is meant.
    fn twice(&self) -> Vec<Problem> {
        let mut taken: BTreeMap<String, &str> = BTreeMap::new();
        let mut problems = Vec::new();
        for sources in &self.workflows {
            let source = Source::new(sources.path.as_str(), &sources.workflow);
            let root = document::parse(&source, &Problems::default());
            let Some(node) = root.as_ref().and_then(|root| root.get("workflow")) else { continue };
            let Some(name) = node.text() else { continue };
            match taken.get(name).filter(|first| **first != sources.path) {
                Some(first) => {
                    let message = format!("the workflow `{name}` is in {first} already");
                    problems.push(source.problem(rules::DUPLICATE_WORKFLOW, &node.span, message));
                }
                None => drop(taken.insert(name.to_owned(), &sources.path)),
            }
        }
        problems
    }

    /// The text of a file that a problem is in.
    pub fn text(&self, file: &str) -> Option<&str> {
        let own = self.connectors.iter().find(|(path, _)| path == file).map(|(_, text)| text.as_str());
        own.or_else(|| self.workflows.iter().find_map(|sources| sources.text(file)))
    }
}

impl Sources {
    /// Where the file of a connector is: the name that its problems are reported under.
    pub fn connector_path(&self, name: &str) -> String {
        let dir = Path::new(&self.path).parent().unwrap_or_else(|| Path::new(""));
        shown(&dir.join("connectors").join(format!("{name}.yaml")))
    }

    /// Where a file of schemas is: the name that its problems are reported under.
    pub fn schema_path(&self, name: &str) -> String {
        let dir = Path::new(&self.path).parent().unwrap_or_else(|| Path::new(""));
        shown(&dir.join(name))
    }

    /// The text of the file that a problem is in.
    pub fn text(&self, file: &str) -> Option<&str> {
        if file == self.path {
            return Some(&self.workflow);
        }
        let connector = self.connectors.iter().find(|(name, _)| self.connector_path(name) == file);
        let schema = || self.schemas.iter().find(|(name, _)| self.schema_path(name) == file);
        connector.or_else(schema).map(|(_, text)| text.as_str())
    }

    /// The text is no workflow, but a connector.
    pub fn is_connector(&self) -> bool {
        is_connector(&self.workflow)
    }

    /// The path of the scenarios that the workflow names under `tests:`, as it is written.
    pub fn tests(&self) -> Option<String> {
        let root = document::parse(&Source::new("", &self.workflow), &Problems::default())?;
        root.get("tests").and_then(Node::text).map(str::to_owned)
    }

    /// The folder of the scenarios that the workflow names under `tests:`: it is relative to the workflow's file.
    pub fn scenarios(&self) -> Option<PathBuf> {
        let dir = Path::new(&self.path).parent().unwrap_or_else(|| Path::new(""));
        self.tests().map(|tests| plain(&dir.join(tests)))
    }
}

/// A connector's file says so in its first column, wherever it lies.
fn is_connector(text: &str) -> bool {
    let begins = |key: &str| text.lines().any(|line| line.trim_start_matches('\u{feff}').starts_with(key));
    begins("connector:") && !begins("workflow:")
}

/// A workflow and the files that it refers to. What is there and cannot be read is an error, and left out.
fn gather(path: &Path, workflow: String, errors: &mut Vec<(PathBuf, ReadError)>) -> Sources {
    let dir = path.parent().unwrap_or_else(|| Path::new(""));
    let mut sources = Sources { path: shown(path), workflow, connectors: BTreeMap::new(), schemas: BTreeMap::new() };
    let problems = Problems::default();
    let Some(root) = document::parse(&Source::new("", &sources.workflow), &problems) else { return sources };
    let mut text = |file: PathBuf| match read(&file) {
        Ok(text) => Some(text),
        Err(error) => {
            errors.push((file, error));
            None
        }
    };
    for name in connector_names(&root) {
        let file = dir.join("connectors").join(format!("{name}.yaml"));
        if inside(dir, &file) {
            sources.connectors.extend(text(file).map(|text| (name, text)));
        }
    }
    let mut wanted: Vec<String> = root.get("input").map(|node| references(&node.to_json(), "")).unwrap_or_default();
    while let Some(name) = wanted.pop() {
        let file = dir.join(&name);
        if sources.schemas.len() >= SCHEMAS_MAX || sources.schemas.contains_key(&name) || !inside(dir, &file) {
            continue;
        }
        let Some(text) = text(file) else { continue };
        if let Ok(schema) = serde_json::from_str::<Value>(&text) {
            wanted.extend(references(&schema, &name));
        }
        sources.schemas.insert(name, text);
    }
    sources
}

fn unreadable(error: &ReadError, path: &Path) -> Problem {
    let (rule, message) = match error {
        ReadError::TooLarge(_) => (rules::TOO_LARGE, "a definition has at most 1 MiB".to_owned()),
        ReadError::NotText(_) => (rules::UNREADABLE_FILE, "the file is not UTF-8 text".to_owned()),
        ReadError::NotAFile(_) => (rules::UNREADABLE_FILE, "this is not a regular file".to_owned()),
        ReadError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            (rules::UNREADABLE_FILE, "the file is not there, or is a link that leads nowhere".to_owned())
        }
        ReadError::Io { source, .. } => (rules::UNREADABLE_FILE, format!("the file cannot be read: {source}")),
        ReadError::TooMany(_) => (rules::UNREADABLE_FILE, error.to_string()),
    };
    Source::new(shown(path), "").problem(rule, &(0..0), message)
}

/// `tests:` names a folder that is not there.
fn untested(sources: &Sources) -> Option<Problem> {
    let folder = sources.scenarios()?;
    let why = if !folder.is_dir() {
        "there is no folder"
    } else if !has_scenarios(&folder, FOLDERS_DEEP) {
        "there is no scenario (*.yaml) in the folder"
    } else {
        return None;
    };
    let source = Source::new(sources.path.as_str(), &sources.workflow);
    let root = document::parse(&source, &Problems::default())?;
    let message = format!("{why} {}", shown(&folder));
    let problem = source.problem(rules::MISSING_TESTS, &root.get("tests")?.span, message);
    Some(problem.with_help("`tests` is relative to the file that it stands in".to_owned()))
}

/// Files whose name begins with `_` are parts of others.
fn has_scenarios(folder: &Path, depth: usize) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| {
        let kind = path.extension().and_then(|extension| extension.to_str());
        let part = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(['_', '.']));
        if path.is_dir() {
            depth > 0 && has_scenarios(&path, depth - 1)
        } else {
            !part && kind.is_some_and(|kind| ["yaml", "yml", "jsonl"].contains(&kind))
        }
    })
}

/// The same place without `..`, if it is the same: behind a link it would not be.
fn plain(path: &Path) -> PathBuf {
    let mut steps = PathBuf::new();
    for step in path.components() {
        match (step, steps.components().next_back()) {
            (Component::ParentDir, Some(Component::Normal(_))) => drop(steps.pop()),
            _ => steps.push(step),
        }
    }
    match (steps.canonicalize(), path.canonicalize()) {
        (Ok(one), Ok(other)) if one == other => steps,
        _ => path.to_owned(),
    }
}

/// As a person reads them, each once.
fn sorted(problems: impl IntoIterator<Item = Problem>) -> Vec<Problem> {
    let mut problems: Vec<Problem> = problems.into_iter().collect();
    let key = |problem: &Problem| (problem.file.clone(), problem.span.start, problem.rule, problem.message.clone());
    problems.sort_by_key(key);
    problems.dedup();
    problems
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}

fn read(path: &Path) -> Result<String, ReadError> {
    let io = |source| ReadError::Io { path: path.to_owned(), source };
    let limit = u64::try_from(TEXT_MAX).unwrap_or(u64::MAX).saturating_add(1);
    // Opening a pipe would wait for somebody who writes into it.
    if !fs::metadata(path).map_err(io)?.is_file() {
        return Err(ReadError::NotAFile(path.to_owned()));
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(limit).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() > TEXT_MAX {
        return Err(ReadError::TooLarge(path.to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| ReadError::NotText(path.to_owned()))
}

fn yaml_files(dir: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let io = |source| ReadError::Io { path: dir.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if is_yaml && !hidden && !path.is_dir() {
            found.push(path);
        }
        if found.len() > FILES_MAX {
            return Err(ReadError::TooMany(dir.to_owned()));
        }
    }
    found.sort();
    Ok(found)
}

/// Something that is no directory exists and is below the directory, links followed.
fn inside(dir: &Path, file: &Path) -> bool {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    match (dir.canonicalize(), file.canonicalize()) {
        (Ok(dir), Ok(file)) => file.starts_with(dir) && !file.is_dir(),
        _ => false,
    }
}

/// Every `name.operation` under `call`, `invoke`, `entry` and `compensate`.
fn connector_names(root: &Node) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for state in root.get("states").map(Node::entries).unwrap_or_default() {
        for key in ["invoke", "entry"] {
            state.node.get(key).into_iter().for_each(|node| calls(node, true, &mut names));
        }
    }
    names
}

fn calls(node: &Node, is_call: bool, names: &mut BTreeSet<String>) {
    match &node.kind {
        Kind::List(items) => items.iter().for_each(|item| calls(item, is_call, names)),
        Kind::Map(entries) => {
            for entry in entries.iter().filter(|entry| entry.key != "with") {
                calls(&entry.node, matches!(entry.key.as_str(), "call" | "compensate"), names);
            }
        }
        Kind::Scalar(value) => {
            let name = value.as_str().filter(|_| is_call).and_then(|text| text.split_once('.')).map(|(name, _)| name);
            let plain =
                |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
            names.extend(name.filter(plain).filter(|name| !builtin::is_builtin(name)).map(str::to_owned));
        }
    }
}

/// The files that a schema refers to, relative to the workflow's directory. `from` is the file that the schema is in.
fn references(schema: &Value, from: &str) -> Vec<String> {
    match schema {
        Value::Array(items) => items.iter().flat_map(|item| references(item, from)).collect(),
        Value::Object(fields) => {
            let own = fields.get("$ref").and_then(Value::as_str).and_then(|reference| resolve(reference, from));
            own.into_iter().chain(fields.values().flat_map(|field| references(field, from))).collect()
        }
        _ => Vec::new(),
    }
}

/// The file that a reference in the file `from` leads to; both are relative to the workflow's directory.
pub(super) fn resolve(reference: &str, from: &str) -> Option<String> {
    let file = reference.split('#').next().filter(|file| !file.is_empty() && !file.contains(':'))?;
    let mut steps: Vec<&str> = from.split('/').collect();
    steps.pop();
    for step in file.split('/') {
        match step {
            "." => {}
            ".." => drop(steps.pop()?),
            "" => return None,
            step => steps.push(step),
        }
    }
    Some(steps.join("/"))
}
