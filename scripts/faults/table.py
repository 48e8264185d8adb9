"""What came out of a campaign, printed and written into its page."""
import datetime

from reference import commit, machine

BEGIN, END = "<!-- faults: written by make faults -->", "<!-- /faults -->"


def conclude(campaign, args, repo):
    """Prints the table and, of a whole campaign, writes it into a page where asked; returns how many trials failed."""
    failed = sum(tally.failed for tally in campaign.tallies.values())
    lines = rows(campaign.tallies)
    print("\n" + "\n".join(lines))
    if args.out and not args.only and args.trials is None and not args.first:
        text = args.out.read_text()
        before, rest = text.split(BEGIN)
        _, after = rest.split(END)
        args.out.write_text(f"{before}{BEGIN}\n" + "\n".join(about(campaign, args, repo, failed) + [""] + lines + [""] +
                                                            failures(campaign.tallies)) + f"\n{END}{after}")
    return failed


def rows(tallies):
    lines = ["| kind | tried | failed | seconds | peak memory of a run, MB |", "|---|---:|---:|---:|---:|"]
    lines += [f"| {kind} | {of.tried} | {of.failed} | {of.seconds:.0f} | {of.megabytes} |" for kind, of in tallies.items()]
    everything = list(tallies.values())
    return lines + [f"| all | {sum(of.tried for of in everything)} | {sum(of.failed for of in everything)} | "
                    f"{sum(of.seconds for of in everything):.0f} | {max((of.megabytes for of in everything), default=0)} |"]


def about(campaign, args, repo, failed):
    day = datetime.date.today().isoformat()
    length = f"{args.minutes:g} minutes" if args.trials is None else f"{args.trials} trials"
    outcome = "None failed." if not failed else f"{failed} failed; they are listed under the table."
    return [f"{day}, commit {commit(repo)}, seed {args.seed}, {length}, {args.jobs} trials at once on {machine()}. {outcome}"]


def failures(tallies):
    """Each failure with the command that repeats it."""
    lines = []
    for kind, tally in tallies.items():
        for words, faults, again in tally.failures:
            lines += [f"- {kind}, {words}: {'; '.join(faults).splitlines()[-1][:300]}. `make faults FAULTS=\"{again}\"`"]
    return lines + [""] if lines else []
