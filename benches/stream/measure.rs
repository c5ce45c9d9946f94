//! What a command has cost: CPU seconds of all its threads, and the most memory that it has held.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The unit of the kernel's times, fixed for programs whatever the kernel's own rate is.
const TICKS_PER_SECOND: f64 = 100.0;

/// Runs the command on one core, its stdout on ours, and writes the figures to `figures`.
pub fn measure(core: u32, figures: &Path, command: &[String]) -> Result<()> {
    let started = Instant::now();
    let mut child = Command::new("taskset")
        .arg("-c")
        .arg(core.to_string())
        .args(command)
        .stdin(Stdio::inherit())
        .spawn()
        .context("taskset (Debian's util-linux) can't be run")?;
    let process = Path::new("/proc").join(child.id().to_string());
    let mut peak = 0;
    // A process that has ended but is not yet waited for still tells its times, and no longer its memory.
    let ticks = loop {
        let status = fs::read_to_string(process.join("status"))?;
        peak = field(&status, "VmHWM:").unwrap_or(peak);
        if status.lines().any(|line| line.starts_with("State:\tZ")) {
            let stat = fs::read_to_string(process.join("stat"))?;
            break ticks(&stat).context("/proc/PID/stat has fewer fields than expected")?;
        }
        thread::sleep(LOOK_EVERY);
    };
    let status = child.wait()?;
    let (cpu, wall) = (ticks / TICKS_PER_SECOND, started.elapsed().as_secs_f64());
    fs::write(figures, format!("cpu={cpu:.2} wall={wall:.2} peak_mib={}\n", peak / 1_024))?;
    if !status.success() {
        bail!("{}: {status}", command.join(" "));
    }
    Ok(())
}

fn field(status: &str, name: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse().ok())
}

/// User and system time: the 14th and 15th field, counted from after the name, which may hold spaces.
fn ticks(stat: &str) -> Option<f64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?)
}
