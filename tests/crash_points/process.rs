//! Processes that really die: what they leave is taken up as a picture is.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::image::{Camera, Image, Left, Place, SCRATCH, copy, hash, scratch};
use crate::life::{self, Ran};
use crate::story::Story;
use crate::tales::Tales;

const TASK: &str = "PAYSTATE_CRASH_TASK";
const SIGABRT: i32 = 6;

/// What a process is to do until it dies.
#[derive(Serialize, Deserialize)]
struct Task {
    story: String,
    /// Where it begins; at the story's beginning without one.
    from: Option<(Place, PathBuf)>,
    place: Place,
    left: PathBuf,
}

/// The process that dies. Does nothing unless it was started for that.
#[test]
#[ignore = "started by another test"]
fn dying() {
    let Ok(task) = std::env::var(TASK) else { return };
    let Task { story, from, place, left } = serde_json::from_str(&task).expect("a task");
    let story = Tales::default().story(&story);
    let camera = Camera::Abort { place, left };
    let ran = match from {
        None => life::told(&story, camera),
        Some((place, left)) => life::again(&story, image(place, &left), camera),
    };
    match ran {
        Ok(_) => println!("the story is over"),
        Err(error) => println!("{error}"),
    }
}

/// Takes up what a dead process has left.
fn image(place: Place, left: &Path) -> Image {
    let text = fs::read(left).expect("what it left was written down");
    let Left { dir, client, requests } = serde_json::from_slice(&text).expect("it is JSON");
    let dir = copy(&dir, &mut Context::new(&SHA256));
    Image { dir, client, requests, place }
}

/// Tells a story in a process that dies somewhere, in a second one that goes on and dies somewhere, and here to its end.
pub fn twice(story: &Story, seed: u64) -> Result<(Place, Place), String> {
    let told = life::told(story, Camera::Off)?;
    let folder = scratch();
    let lefts = [folder.path().join("first"), folder.path().join("second")];
    let first = somewhere(&told, seed);
    die(folder.path(), Task { story: story.name.clone(), from: None, place: first.clone(), left: lefts[0].clone() })?;
    let again = life::after_crash(story, image(first.clone(), &lefts[0]), &told.journals, &told, Camera::Off)
        .map_err(|error| format!("{first}: {error}"))?;
    let second = somewhere(&again, seed + 1);
    let from = Some((first.clone(), lefts[0].clone()));
    die(folder.path(), Task { story: story.name.clone(), from, place: second.clone(), left: lefts[1].clone() })?;
    life::after_crash(story, image(second.clone(), &lefts[1]), &again.journals, &told, Camera::Off)
        .map_err(|error| format!("{first}, then {second}: {error}"))?;
    Ok((first, second))
}

/// A place that every run comes by. When the thread that prepares files gets where is its own affair.
fn somewhere(ran: &Ran, seed: u64) -> Place {
    let sure = |point: &str| !point.starts_with("spares::") && point != "behind::waiting";
    let places: Vec<(&str, u64)> =
        ran.hits.iter().filter(|(point, _)| sure(point)).map(|(point, hits)| (*point, *hits)).collect();
    let mut at = hash(seed, "somewhere", places.len() as u64) % places.iter().map(|(_, hits)| hits).sum::<u64>();
    for (point, hits) in places {
        if at < hits {
            return Place { point: point.to_owned(), hit: at + 1 };
        }
        at -= hits;
    }
    unreachable!("it is below the sum")
}

fn die(folder: &Path, task: Task) -> Result<(), String> {
    let child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "process::dying", "--ignored", "--nocapture"])
        .env(TASK, serde_json::to_string(&task).expect("it is plain"))
        .env(SCRATCH, folder)
        .output()
        .map_err(|error| error.to_string())?;
    if child.status.signal() == Some(SIGABRT) {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&child.stdout);
    Err(format!("a process that should have died at {} ended with {}: {said}", task.place, child.status))
}
