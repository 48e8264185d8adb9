#!/bin/sh
# A stand-in for gcloud: records how it was called and simulates an account whose state is files next to it. A file
# `fail` makes every call that changes something fail with 20 lines; `other-crc` makes the bucket's checksums differ.
here=$(dirname "$0")
printf '%s\n' "$*" >>"$here/calls"

absent() {
  echo "ERROR: (gcloud) NOT_FOUND: $1 was not found" >&2
  exit 1
}

change() {
  if [ -e "$here/fail" ]; then
    seq -f 'line %g' 20 >&2
    exit 3
  fi
}

object() { printf '%s/object-%s' "$here" "${1##*/}"; }

case "$*" in
  version|--version) echo 'Google Cloud SDK 528.0.0 (no, a stand-in for it: covid-ct tests with it)' ;;
  'auth list '*) [ -e "$here/logged-out" ] || echo ACTIVE; echo 'you are someone@example.org' >&2 ;;
  'projects create '*) change && touch "$here/project" ;;
  'projects describe '*)
    [ -e "$here/project" ] || { echo 'ERROR: PERMISSION_DENIED (or it may not exist)' >&2; exit 1; }
    echo ACTIVE ;;
  'billing projects link '*) change && touch "$here/billing" ;;
  'billing projects describe '*) if [ -e "$here/billing" ]; then echo True; else echo False; fi ;;
  'services enable '*) change && touch "$here/services" ;;
  'services list '*)
    [ -e "$here/services" ] && printf '%s\n' storage.googleapis.com compute.googleapis.com bigquery.googleapis.com \
      notebooks.googleapis.com ;;
  'compute regions describe '*) printf 'CPUS\t24.0\t0.0\nNVIDIA_T4_GPUS\t1.0\t0.0\n' ;;
  'compute project-info describe '*) printf 'GPUS_ALL_REGIONS\t%s\t0.0\n' "$(cat "$here/gpus" 2>/dev/null || echo 1.0)" ;;
  'compute images describe-from-family '*) echo 50 ;;
  'storage buckets create '*) change && touch "$here/bucket" ;;
  'storage buckets list '*) [ -e "$here/bucket" ] || exit 0
    printf '%s\tenforced\tTrue\n' "$(cat "$here/other-location" 2>/dev/null || echo ASIA-EAST1)" ;;
  'storage buckets describe '*) [ -e "$here/bucket" ] || absent bucket; echo covid_19_challenge ;;
  'storage cp '*)
    change
    printf 'Copying 50%%\rCopying 100%%\n' >&2
    cp "$3" "$(object "$4")" ;;
  'storage objects describe '*'(size)'*) [ -e "$(object "$4")" ] || absent object; wc -c <"$(object "$4")" ;;
  'storage objects describe '*) if [ -e "$here/other-crc" ]; then echo 'AAAAAA=='; else cksum <"$(object "$4")"; fi ;;
  'storage hash '*) cksum <"$3" ;;
  'storage rm '*) change && rm -f "$here/bucket" "$here"/object-* ;;
  'workbench instances create '*) change && echo ACTIVE >"$here/instance" ;;
  'workbench instances describe '*) [ -e "$here/instance" ] || absent instance
    case "$*" in *proxyUri*) echo abc-dot-asia-east1.notebooks.googleusercontent.com ;; *) cat "$here/instance" ;; esac ;;
  'workbench instances stop '*) change && echo STOPPED >"$here/instance" ;;
  'workbench instances start '*) change && echo ACTIVE >"$here/instance" ;;
  'workbench instances delete '*) change && rm "$here/instance" ;;
  'compute ssh '*nvidia-smi*) echo 580.82.07 ;;
  'compute ssh '*) cat "$here/setup-status" 2>/dev/null || printf 'ok\nThe end of the log:\nready\n' ;;
  *) echo "the stand-in does not know: $*" >&2; exit 2 ;;
esac
