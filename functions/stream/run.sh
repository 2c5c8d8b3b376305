#!/bin/sh
# Lambda Web Adapter starts this and asks it over HTTP; boto3 is the managed runtime's own.
# Only the adapter ends idle connections: a server that did, after a freeze, would race it.
cd "$LAMBDA_TASK_ROOT" || exit 1
PYTHONPATH="$LAMBDA_TASK_ROOT${LAMBDA_RUNTIME_DIR:+:$LAMBDA_RUNTIME_DIR}" exec python -m uvicorn \
  functions.stream.app:app --host 127.0.0.1 --port "$AWS_LWA_PORT" \
  --lifespan off --no-access-log --log-level warning --timeout-keep-alive 3600
