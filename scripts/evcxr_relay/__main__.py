"""python evcxr_relay CONNECTION_FILE [evcxr_jupyter]"""
import sys

from start_relay import run

run(sys.argv[1], sys.argv[2] if sys.argv[2:] else "evcxr_jupyter")
