use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::process::Command;

use anyhow::Context as _;
use serde::Deserialize;

use super::control::SERVICES;
use super::layout::Layout;
use super::node::{ADDRESS, BRIDGE, NETWORK, PODS};
use super::remains::KUBELET_SOCKET;
use super::state::State;
use crate::process;

const FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";
/// The table of kube-proxy, one per family.
const PROXY_TABLE: &str = "kube-proxy";
const FAMILIES: [&str; 2] = ["ip", "ip6"];

/// One entry of `ip -json link show`.
#[derive(Debug, Deserialize)]
struct Link {
    ifname: String,
    /// What somebody wrote at it; ours has the state folder of its cluster.
    ifalias: Option<String>,
}

/// One entry of `ip -json route show`.
#[derive(Debug, Deserialize)]
struct Route {
    /// A network, an address, or `default`.
    dst: String,
    dev: Option<String>,
}

/// Checks that the bridge of the pods is this cluster's or can be made.
///
/// # Errors
///
/// Fails where the bridge is another cluster's, where something else has the addresses, or where another kubelet or kube-proxy works.
pub(super) fn check(layout: &Layout) -> anyhow::Result<()> {
    if is_made(layout)? {
        return Ok(());
    }
    check_free(&routes()?)?;
    check_proxy(&process::output(nft().args(["list", "tables"]))?)?;
    check_kubelet()
}

/// Makes the bridge of the pods and lets the machine forward packets.
pub(super) fn make(layout: &Layout, state: &mut State) -> anyhow::Result<()> {
    if !is_made(layout)? {
        ip(&["link", "add", "name", BRIDGE, "type", "bridge"])
            .context("making the bridge of the pods\nhint: the kernel must have bridges")?;
        ip(&["link", "set", "dev", BRIDGE, "alias", &layout.folder().display().to_string()])?;
        ip(&["address", "add", &format!("{ADDRESS}/24"), "dev", BRIDGE])?;
    }
    ip(&["link", "set", "dev", BRIDGE, "up"])?;
    let forwards = fs::read_to_string(FORWARD).with_context(|| format!("reading {FORWARD}"))?.trim() == "1";
    if !forwards {
        // Noted first, so that it is undone even if this command ends here.
        state.forwarded_before = Some(false);
        state.write(layout)?;
        fs::write(FORWARD, "1").with_context(|| format!("writing {FORWARD}"))?;
    }
    Ok(())
}

/// Removes the bridge and the rules that the node left.
pub(super) fn remove(layout: &Layout, state: Option<&State>) -> anyhow::Result<()> {
    if bridge()?.is_none_or(|link| link.ifalias.as_deref() != layout.folder().to_str()) {
        return Ok(());
    }
    let tables = process::output(nft().args(["list", "tables"]))?;
    for family in FAMILIES.iter().filter(|family| has_table(&tables, family)) {
        process::output(nft().args(["delete", "table", family, PROXY_TABLE]))?;
    }
    for calls in [left_rules, left_chains] {
        for call in calls(&process::output(iptables().arg("-S"))?) {
            process::output(iptables().args(call))?;
        }
    }
    if state.and_then(|state| state.forwarded_before) == Some(false) {
        fs::write(FORWARD, "0").with_context(|| format!("writing {FORWARD}"))?;
    }
    // Last: as long as it is there, a command that was cut off finds that something is left to do.
    ip(&["link", "delete", "dev", BRIDGE])
}

/// Returns whether the bridge is there, as this cluster's.
fn is_made(layout: &Layout) -> anyhow::Result<bool> {
    let Some(link) = bridge()? else { return Ok(false) };
    anyhow::ensure!(
        link.ifalias.as_deref() == layout.folder().to_str(),
        "the bridge {BRIDGE} belongs to {}\nhint: one cluster with a node per machine; take that one down with \
         `cargo xtask cluster down --dir DIR`",
        link.ifalias.map_or_else(|| "somebody else".to_owned(), |folder| format!("the cluster in {folder}"))
    );
    Ok(true)
}

fn bridge() -> anyhow::Result<Option<Link>> {
    let links: Vec<Link> = serde_json::from_str(&process::output(Command::new("ip").args(["-json", "link", "show"]))?)
        .context("reading `ip -json link show`")?;
    Ok(links.into_iter().find(|link| link.ifname == BRIDGE))
}

fn routes() -> anyhow::Result<Vec<Route>> {
    let text = process::output(Command::new("ip").args(["-json", "-4", "route", "show", "table", "all"]))?;
    serde_json::from_str(&text).context("reading `ip -json route show`")
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    process::output(Command::new("ip").args(arguments)).map(drop)
}

/// Returns `iptables` for the rules that the plugins of the pod network make.
fn iptables() -> Command {
    let mut command = Command::new("iptables");
    command.args(["--wait", "--table", "nat"]);
    command
}

fn nft() -> Command {
    Command::new("nft")
}

/// Checks that nothing else has the addresses of pods or Services.
fn check_free(routes: &[Route]) -> anyhow::Result<()> {
    for route in routes {
        let taken = [PODS, SERVICES].into_iter().find(|ours| overlap(ours, &route.dst));
        anyhow::ensure!(
            taken.is_none(),
            "the cluster needs the addresses {}, and {} is routed to {} here\nhint: stop what uses it; it may be another cluster",
            taken.unwrap_or_default(),
            route.dst,
            route.dev.as_deref().unwrap_or("somewhere")
        );
    }
    Ok(())
}

fn check_proxy(tables: &str) -> anyhow::Result<()> {
    let another = FAMILIES.iter().any(|family| has_table(tables, family));
    anyhow::ensure!(
        !another,
        "another kube-proxy works on this machine: nftables has its table `{PROXY_TABLE}`\n\
         hint: use that cluster with KUBECONFIG, or stop it"
    );
    Ok(())
}

fn check_kubelet() -> anyhow::Result<()> {
    anyhow::ensure!(
        UnixStream::connect(KUBELET_SOCKET).is_err(),
        "another kubelet works on this machine: it answers on {KUBELET_SOCKET}\n\
         hint: use that cluster with KUBECONFIG, or stop it"
    );
    Ok(())
}

fn has_table(tables: &str, family: &str) -> bool {
    tables.lines().any(|line| line.trim() == format!("table {family} {PROXY_TABLE}"))
}

/// Returns whether two networks have an address in common; `default` has none with any.
fn overlap(left: &str, right: &str) -> bool {
    let (Some(left), Some(right)) = (network(left), network(right)) else { return false };
    let shift = 32 - left.1.min(right.1).min(32);
    u64::from(left.0) >> shift == u64::from(right.0) >> shift
}

fn network(text: &str) -> Option<(u32, u32)> {
    let (address, length) = text.split_once('/').unwrap_or((text, "32"));
    Some((address.parse::<Ipv4Addr>().ok()?.to_bits(), length.parse().ok()?))
}

/// Returns the calls of `iptables` that remove what the plugins of the pod network left for pods that were not taken down in order.
///
/// Their rules have a comment with the name of the network; chains of a pod are named by a digest: first the rules that jump there, then
/// the chains.
fn left_rules(listing: &str) -> Vec<Vec<String>> {
    let ours = format!("name: \\\"{NETWORK}\\\"");
    let mut calls = Vec::new();
    let mut chains = Vec::new();
    for line in listing.lines().filter(|line| line.contains(&ours)) {
        let words = words(line);
        let target = words.iter().position(|word| word == "-j").and_then(|index| words.get(index + 1));
        if let Some(chain) = target.filter(|chain| chain.starts_with("CNI-")) {
            chains.push(chain.clone());
        }
        if words.first().is_some_and(|word| word == "-A") {
            calls.push([vec!["-D".to_owned()], words.get(1..).unwrap_or_default().to_vec()].concat());
        }
    }
    chains.sort();
    chains.dedup();
    let flush = chains.iter().map(|chain| vec!["-F".to_owned(), chain.clone()]);
    let delete = chains.iter().map(|chain| vec!["-X".to_owned(), chain.clone()]);
    calls.extend(flush.chain(delete));
    calls
}

/// Returns the calls of `iptables` that remove the chains which all networks share for ports of the machine, where no network uses them.
fn left_chains(listing: &str) -> Vec<Vec<String>> {
    let prefix = "CNI-HOSTPORT-";
    if listing.lines().any(|line| line.starts_with(&format!("-A {prefix}DNAT "))) {
        return Vec::new();
    }
    let is_shared = |word: &String| word.starts_with(prefix);
    let lines: Vec<Vec<String>> = listing.lines().map(words).collect();
    let jumps =
        lines.iter().filter(|line| line.last().is_some_and(is_shared) && line.first().is_some_and(|word| word == "-A"));
    let chains = lines.iter().filter(|line| line.first().is_some_and(|word| word == "-N"));
    let chains: Vec<&String> = chains.filter_map(|line| line.get(1)).filter(|word| is_shared(word)).collect();
    let jumps = jumps.map(|line| [vec!["-D".to_owned()], line.get(1..).unwrap_or_default().to_vec()].concat());
    let flush = chains.iter().map(|chain| vec!["-F".to_owned(), (*chain).clone()]);
    let delete = chains.iter().map(|chain| vec!["-X".to_owned(), (*chain).clone()]);
    jumps.chain(flush).chain(delete).collect()
}

/// Splits a rule as a shell does, with its quotes and the backslashes in them.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => quoted = !quoted,
            '\\' => word.extend(characters.next()),
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            _ => word.push(character),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_with_an_address_in_common_overlap() {
        let check = |left: &str, right: &str, expected| assert_eq!(overlap(left, right), expected, "{left} {right}");
        check(PODS, "10.244.0.0/16", true);
        check(PODS, "10.0.0.0/8", true);
        check(PODS, "10.244.0.7", true);
        check(PODS, "10.244.1.0/24", false);
        check(SERVICES, "192.168.0.0/16", false);
        check(PODS, "default", false);
        check(PODS, "fe80::/64", false);
    }

    #[test]
    fn addresses_of_others_are_refused() {
        let routes = |dst: &str| [Route { dst: dst.to_owned(), dev: Some("docker0".to_owned()) }];
        check_free(&routes("172.17.0.0/16")).unwrap();
        let error = check_free(&routes("10.96.4.0/24")).unwrap_err().to_string();
        assert!(error.contains("10.96.4.0/24 is routed to docker0"), "{error}");
    }

    #[test]
    fn the_table_of_another_proxy_is_refused() {
        check_proxy("table ip filter\ntable ip6 kube-proxy-other\n").unwrap();
        assert!(check_proxy("table ip filter\ntable ip6 kube-proxy\n").is_err());
    }

    #[test]
    fn rules_that_pods_left_are_removed_and_those_of_others_not() {
        let listing = concat!(
            "-P PREROUTING ACCEPT\n-N CNI-0a1b\n-N CNI-9999\n",
            "-A POSTROUTING -s 10.244.0.10/32 -m comment --comment \"name: \\\"bowline-cluster\\\" id: \\\"f00\\\"\" -j CNI-0a1b\n",
            "-A POSTROUTING -s 10.85.0.2/32 -m comment --comment \"name: \\\"podman\\\" id: \\\"f01\\\"\" -j CNI-9999\n",
            "-A CNI-0a1b -d 10.244.0.0/24 -m comment --comment \"name: \\\"bowline-cluster\\\" id: \\\"f00\\\"\" -j ACCEPT\n",
        );
        let calls: Vec<String> = left_rules(listing).into_iter().map(|call| call.join(" ")).collect();
        assert_eq!(
            calls,
            [
                "-D POSTROUTING -s 10.244.0.10/32 -m comment --comment name: \"bowline-cluster\" id: \"f00\" -j CNI-0a1b",
                "-D CNI-0a1b -d 10.244.0.0/24 -m comment --comment name: \"bowline-cluster\" id: \"f00\" -j ACCEPT",
                "-F CNI-0a1b",
                "-X CNI-0a1b",
            ]
        );
    }

    #[test]
    fn shared_chains_go_when_no_network_uses_them() {
        let unused = concat!(
            "-P OUTPUT ACCEPT\n-N CNI-HOSTPORT-DNAT\n-N CNI-HOSTPORT-MASQ\n",
            "-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT\n",
            "-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE\n",
        );
        let calls: Vec<String> = left_chains(unused).into_iter().map(|call| call.join(" ")).collect();
        assert_eq!(
            calls,
            [
                "-D OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
                "-F CNI-HOSTPORT-DNAT",
                "-F CNI-HOSTPORT-MASQ",
                "-X CNI-HOSTPORT-DNAT",
                "-X CNI-HOSTPORT-MASQ",
            ]
        );
        let used = format!("{unused}-A CNI-HOSTPORT-DNAT -p tcp -j CNI-DN-0a1b\n");
        assert_eq!(left_chains(&used), Vec::<Vec<String>>::new());
        assert_eq!(left_chains("-P OUTPUT ACCEPT\n"), Vec::<Vec<String>>::new());
    }
}
