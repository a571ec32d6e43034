# SPDX-License-Identifier: Apache-2.0
# How .pre and .post of a job run on the host: bash -efu host.bash SCRIPT [NAME COUNT VALUE...]... Variables come with the environment, arrays as
# arguments.

fatal() {
	printf 'fatal: %s\n' "$*" >&2
	exit 1
}

run() {
	printf 'exec: %s\n' "$*" >&2
	"$@"
}

croft_script=$1
shift
while [ $# -gt 0 ]; do
	unset "$1"
	declare -a "$1=()"
	declare -n croft_array=$1
	croft_array=("${@:3:$2}")
	unset -n croft_array
	shift $(($2 + 2))
done
[ -n "${SSHKEYS+set}" ] || SSHKEYS=()
set --
. "$croft_script"
