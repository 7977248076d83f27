//! kcat, which people have at hand: it lists, writes with every codec it has, reads and looks up.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::support::World;

/// Whether kcat is there; where services are required, its absence is a failure.
fn present() -> bool {
    let there = Command::new("kcat").arg("-V").output().is_ok();
    if !there {
        assert!(
            std::env::var_os("REELMILL_REQUIRE_SERVICES").is_none(),
            "kcat is required and missing: run scripts/setup.sh"
        );
        eprintln!("skipped: kcat is not installed");
    }
    there
}

async fn kcat(world: &World, arguments: &str, input: &str) -> String {
    let mut command = Command::new("kcat");
    command.args(["-b", &world.broker.bootstrap()]).args(arguments.split_whitespace());
    let input = input.to_owned();
    let ran = tokio::task::spawn_blocking(move || {
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    });
    let output = ran.await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "kcat {arguments}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn kcat_lists_writes_with_every_codec_reads_and_looks_up_by_time() {
    if !present() {
        return;
    }
    let world = World::start().await;
    world.clients().create_topic("notes", 1).await;
    let listed = kcat(&world, "-L -t notes", "").await;
    assert!(listed.contains("topic \"notes\" with 1 partitions"), "{listed}");
    let mut written = String::new();
    for codec in ["none", "gzip", "snappy", "lz4"] {
        let lines: String = (0..20).map(|i| format!("{codec}-{i}\n")).collect();
        kcat(&world, &format!("-P -t notes -z {codec} -H kind={codec}"), &lines).await;
        written += &lines;
    }
    let read = kcat(&world, "-C -t notes -o beginning -e -q", "").await;
    assert_eq!(read, written);
    let one = kcat(&world, "-C -t notes -o 25 -c 1 -e -q -f %h|%s", "").await;
    assert_eq!(one, "kind=gzip|gzip-5");
    let time = kcat(&world, "-C -t notes -o 40 -c 1 -e -q -f %T", "").await;
    let found = kcat(&world, &format!("-Q -t notes:0:{}", time.trim()), "").await;
    let offset: i64 = found.trim().rsplit(' ').next().unwrap().parse().unwrap();
    assert!((20..=40).contains(&offset), "{found}");
    assert!(kcat(&world, "-Q -t notes:0:-1", "").await.contains("offset 80"));
}
