//! Power cuts under payments: the shipped bank card against the sandbox, which keeps its power, and whose bank is the
//! judge of what happened to the money.

use std::time::{Duration, Instant};

use super::cuts::cuts;
use super::disk::Cut;
use super::rig::Rig;
use super::shim::{self, Knob};
use crate::journal_disk::Dice;
use crate::kill::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_charge_is_doubled_by_a_power_cut() {
    if !shim::is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::start(folder.path()).await;
    let mut rig = Rig::new().with_config(folder.path().join("sandbox/paystate.yaml"));
    let (cuts, mut dice) = (cuts(), Dice(9));
    for cut in 0..cuts {
        rig.control.set(Knob::SyncMicros, dice.roll(3_000));
        let mut daemon = rig.spawn(world.port);
        // In the middle of a start, or under load.
        if dice.roll(4) > 0 && daemon.ready().is_none() {
            panic!("it does not start: {:?}", daemon.kill());
        }
        world.load_until(Instant::now() + Duration::from_millis(dice.roll(400))).await;
        daemon.kill();
        let how = [Cut::AllUnsynced, Cut::AnySectors, Cut::AnySectorsAndNames][usize::try_from(cut % 3).unwrap()];
        rig.cut(how, &mut dice);
    }
    let mut daemon = rig.spawn(world.port);
    daemon.ready().expect("it starts");
    let (orders, paid) = world.judge().await;
    println!("power: payments: {cuts} cuts, {orders} orders, {paid} paid: 0 lost, 0 doubled, each as the bank has it");
}
