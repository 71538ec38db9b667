"""Checks the report of `mysa sim --check` on mysa-client: what the simulator did and saw, not how well the client did."""

import json
import sys

report = json.load(open(sys.argv[1]))
facts = report["facts"]
assert report["finished"] and report["missed_events"] == 0, report
assert report["passed"] + report["failed"] + report["not_seen"] == 35, report
assert facts["sign_ins"] >= 1 and facts["connects"] >= 2 and facts["commands"] >= 1, facts
assert facts["rest_requests"] >= 3 and facts["devices"] == 2 and facts["largest_subscribe"] == 2, facts
steps = {step["step"]: step for step in report["steps"]}
assert all(step["ended_s"] >= step["began_s"] for step in steps.values()), steps
results = {(step["step"], rule["rule"]): rule for step in report["steps"] for rule in step["rules"]}
for seen in [
    ("connect", "sign-in"),
    ("connect", "rest"),
    ("connect", "credentials"),
    ("connect", "keep-alive"),
    ("subscribe", "filters"),
    ("subscribe", "own-topics"),
    ("commands", "command-type"),
    ("commands", "command-values"),
    ("cut", "reconnect"),
]:
    rule = results[seen]
    assert rule["result"] != "not seen" and rule["observed"], rule
for rule in results.values():
    print(f"interop:   {rule['result']:<9} {rule['rule']:<18} {rule['observed']}")
