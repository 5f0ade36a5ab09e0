#!/bin/sh
# On a node: names the agent's next place to die as soon as it died at the last, so that it dies at each once.
# A `done` that is never passed, because the phase found nothing to do after the last death, is noted as skipped.
at=/run/ha-agent/crash-at met=/run/plant/met skipped=/run/plant/skipped
mkdir -p /run/plant; : >$met; : >$skipped

rank() { # PHASE -> its place in a node's life
  i=0; for p in images preflight balancer gate init join network finish steady; do [ "$p" = "$1" ] && break; i=$((i + 1)); done; echo $i
}
passed() { # PHASE: the agent is in a later one by now
  now=$(grep -o '"phase": *"[a-z]*"' /run/ha-agent/status.json 2>/dev/null | head -n 1 | cut -d '"' -f 4)
  [ -n "$now" ] && [ "$(rank "$now")" -gt "$(rank "$1")" ]
}

while read -r word; do
  [ -s $met ] || [ -s $skipped ] || [ ! -e $at ] || first=$(cat $at)     # tmpfiles planted the first one
  [ "${first:-}" = "$word" ] || { echo "$word" >$at.new; mv $at.new $at; }
  [ "${again:-}" != yes ] || { again=no; systemctl kill --signal=KILL --kill-whom=main ha-agent.service; }
  while [ -e $at ]; do
    sleep 0.1
    if passed "${word%:*}" && sleep 1 && [ -e $at ]; then
      rm -f $at; echo "$word" >>$skipped; again=yes; continue 2
    fi
  done
  echo "$word" >>$met
done <"/etc/plant/$(uname -n)"
