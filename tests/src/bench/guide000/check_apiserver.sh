#!/bin/bash
curl --silent --max-time 2 --insecure https://localhost:6443/healthz -o /dev/null || exit 1
