//! What the commands say of an append log.

use super::elsewhere::open;
use super::info::item;
use crate::common::Look;
use crate::failure::{Exit, Failure, Result};
use crate::log_folder::{LogFolder, OpenLog};
use crate::output::{Output, Style};
use crate::preview::{Most, document, kind, lines};
use crate::summary::{plural, ratio_text};
use crate::table::{Side, Table};
use crate::units::{bytes, count};
use crate::value::values;
use chunkstore_store::{Attempt, Bytes, Chunk, LogEntry, LogSizes, Records};
use serde_json::{Value, json};
use std::collections::HashSet;

/// Lists the partitions that hold anything.
pub(super) fn list(folder: &LogFolder, look: &Look, output: &mut Output) -> Result<Exit> {
    let log = open(folder, look)?;
    if output.is_json() {
        output.document(&folder.json(&log))?;
        let fields = |(partition, sizes): (u32, LogSizes)| json!({ "kind": "partition", "partition": partition, "records": sizes.records, "bytes": sizes.bytes });
        log.used().try_for_each(|used| output.document(&fields(used)))?;
        return Ok(Exit::Success);
    }
    let line = folder.line(&log, output);
    output.line(line)?;
    let mut table = Table::new([Side::Right; 3]);
    table.row(["partition", "records", "data"]);
    log.used().for_each(|(partition, sizes)| table.row([partition.to_string(), count(sizes.records), bytes(sizes.bytes)]));
    for (at, line) in table.lines().into_iter().enumerate() {
        output.line(if at == 0 { output.style(Style::Dim, line) } else { line })?;
    }
    Ok(Exit::Success)
}

/// Describes a log.
pub(super) fn describe(folder: &LogFolder, look: &Look, output: &mut Output) -> Result {
    let log = open(folder, look)?;
    if output.is_json() {
        return output.document(&folder.json(&log));
    }
    let total = log.total();
    item(output, "append log", folder.path.display())?;
    item(output, "partitions", log.partitions())?;
    item(output, "records", count(total.records))?;
    let ratio = ratio_text(total.bytes, log.disk_bytes);
    item(output, "data", format!("{} in {} ({ratio})", bytes(total.bytes), bytes(log.disk_bytes)))?;
    let largest = log.used().max_by_key(|(partition, sizes)| (sizes.bytes, std::cmp::Reverse(*partition)));
    if let Some((partition, sizes)) = largest {
        item(output, "largest", format!("partition {partition}, {} in {}", bytes(sizes.bytes), plural(sizes.records, "record")))?;
    }
    item(output, "writers", format!("{}, {} running", count(folder.writers), count(folder.running)))
}

/// Reads all blocks, and all entries of all partitions.
pub(super) fn verify(folder: &LogFolder, look: &Look, output: &mut Output) -> Result<Exit> {
    let log = open(folder, look)?;
    let found = log.log.verify()?;
    let warnings: Vec<String> = found.warnings.iter().map(ToString::to_string).collect();
    let mut damaged: Vec<Failure> = found.damage.into_iter().map(Failure::from).collect();
    let (mut entries, mut attempts) = (0u64, HashSet::new());
    for (partition, _) in log.used() {
        let mut read = || -> chunkstore_store::Result<()> {
            for entry in log.log.gather(partition)? {
                let attempt = entry?.attempt();
                entries += 1;
                attempts.extend(attempt.task().map(|task| (task, attempt.attempt())));
            }
            Ok(())
        };
        match read().map_err(Failure::from) {
            Ok(()) => {}
            Err(failure) if failure.is_damage() || failure.is_gone() => damaged.push(failure.about(format!("partition {partition}"))),
            Err(failure) => return Err(failure.about(format!("partition {partition} of {}", folder.path.display()))),
        }
    }
    let exit = if damaged.is_empty() { Exit::Success } else { Exit::No };
    if output.is_json() {
        let problems: Vec<String> = damaged.iter().map(Failure::to_string).collect();
        output.document(&json!({
            "log": folder.path, "sound": damaged.is_empty(), "partitions": log.sizes.len(), "entries": entries, "attempts": attempts.len(),
            "blocks": found.blocks, "bytes": found.bytes, "damages": problems.len(), "damaged": problems, "warnings": warnings,
        }))?;
        return Ok(exit);
    }
    let what = format!(
        "{}, {} of {}, {} in {} read",
        log.partitions(),
        count(entries) + if entries == 1 { " entry" } else { " entries" },
        plural(attempts.len() as u64, "attempt"),
        bytes(found.bytes),
        plural(found.blocks, "block")
    );
    let verdict = match damaged.len() as u64 {
        0 => output.style(Style::Green, "sound"),
        places => output.style(Style::Red, format!("DAMAGED in {}", plural(places, "place"))),
    };
    output.line(format!("{}: {verdict}: {what}", folder.path.display()))?;
    damaged.iter().try_for_each(|failure| output.line(format!("  {failure}")))?;
    warnings.iter().try_for_each(|warning| output.line(format!("  warning: {warning}")))?;
    Ok(exit)
}

/// Shows the first entries of a partition: of the first that has any, if none is named.
pub(super) fn head(
    folder: &LogFolder,
    partition: Option<u64>,
    type_name: Option<&str>,
    look: &Look,
    most: Most,
    output: &mut Output,
) -> Result<Exit> {
    let log = open(folder, look)?;
    let partition = match partition {
        Some(partition) => u32::try_from(partition).ok().filter(|partition| (*partition as usize) < log.sizes.len()).ok_or_else(|| {
            Failure::new(Exit::NotFound, format!("there is no partition {partition}: {} has {}", folder.path.display(), log.partitions()))
        })?,
        None => log.used().next().map_or(0, |(partition, _)| partition),
    };
    let sizes = log.sizes.get(partition as usize).copied().unwrap_or_default();
    let entries = first(&log, partition, most.rows)?;
    let shown: u64 = entries.iter().map(|entry| u64::from(entry.records())).sum();
    let left = sizes.records.saturating_sub(shown);
    let mut fields = Vec::new();
    if !output.is_json() {
        let title =
            format!("{}, partition {partition}: {}, {}", folder.path.display(), plural(sizes.records, "record"), bytes(sizes.bytes));
        output.line(output.style(Style::Dim, title))?;
    }
    for (number, entry) in entries.into_iter().enumerate() {
        let (attempt, records) = (entry.attempt(), entry.records());
        let records = Records { data: entry.into_bytes(), count: records.into() };
        let decoded = match type_name {
            None => None,
            Some(name) => Some(values(name, &records).ok_or_else(|| {
                let failure = Failure::new(
                    Exit::Usage,
                    format!("entry {number} of partition {partition} is not {} of type {name}", plural(records.count, "record")),
                );
                failure.hint("name the type as Rust does, such as '(String, u64)'; types of your own are shown as bytes only")
            })?),
        };
        let chunk = if records.count == 1 { Chunk::Bytes(Bytes(records.data)) } else { Chunk::Records(records) };
        if output.is_json() {
            let mut field = document(&chunk, &[], most);
            field["task"] = json!(attempt.task());
            field["attempt"] = json!(attempt.attempt());
            field["values"] = json!(decoded);
            fields.push(field);
            continue;
        }
        let who = output.style(Style::Bold, who(attempt));
        output.line(format!("{who}  {}", output.style(Style::Dim, kind(&chunk))))?;
        match decoded {
            Some(values) => values.iter().take(most.rows).try_for_each(|value| output.line(format!("    {value}")))?,
            None => lines(&chunk, &[], Most { rows: 2, ..most }).into_iter().try_for_each(|line| output.line(format!("    {line}")))?,
        }
    }
    if output.is_json() {
        let entries: Vec<Value> = fields;
        output.document(&json!({ "log": folder.path, "partition": partition, "records": sizes.records, "bytes": sizes.bytes, "entries": entries, "records_left": left }))?;
    } else if left > 0 {
        output.line(format!("... {} more", plural(left, "record")))?;
    }
    Ok(Exit::Success)
}

/// The first entries of a partition.
fn first(log: &OpenLog, partition: u32, most: usize) -> Result<Vec<LogEntry>> {
    Ok(log.log.gather(partition)?.take(most).collect::<std::result::Result<_, _>>()?)
}

/// Who appended an entry.
fn who(attempt: Attempt) -> String {
    match attempt.task() {
        Some(task) => format!("task {task}, attempt {}", attempt.attempt()),
        None => "no task".into(),
    }
}
