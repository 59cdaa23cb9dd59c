#!/usr/bin/env bash
# One job of an array plays one seed: sbatch --array=0-3 array.sh games/blotto --agent tuner
# A job that was ended (time limit, preemption) goes on where it was when it is submitted again.
#SBATCH --job-name=mlgym
#SBATCH --cpus-per-task=2
#SBATCH --mem=8G
#SBATCH --time=02:00:00
#SBATCH --requeue
# SIGTERM two minutes before the end: mlgym ends its episodes, and says what is left.
#SBATCH --signal=B:TERM@120
set -euo pipefail

study=${STUDY:-study}
runs=${RUNS_DIR:-$PWD/runs}
# On a disk of the node: sandboxes and prepared tasks are written there.
export MLGYM_CACHE_DIR=${MLGYM_CACHE_DIR:-${TMPDIR:-/tmp}/mlgym-$USER}

seed=$SLURM_ARRAY_TASK_ID
run=$study-$seed
# exec, so that the signal reaches mlgym and not this shell.
if [[ -e $runs/$run/run.json ]]; then
    exec mlgym resume "$run" --runs-dir "$runs"
fi
exec mlgym run "$@" --seed "$seed" --run-id "$run" --runs-dir "$runs"
