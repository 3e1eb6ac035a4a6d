# allocq's completion for bash. Made by tests/generate.py from allocq/options.

_allocq_words() {
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
}

_allocq_files() {
	compopt -o default 2>/dev/null # readline's own, which quotes
}

# Names of the kernel of a kind ($1) that begin with $2. allocq has them without starting Python.
_allocq_names() {
	local program name word=$2 trim=
	program=$(type -P -- "${COMP_WORDS[0]}" || type -P allocq) || return
	word=${word#[\'\"]}
	word=${word//\\/}
	# Of a word with colons, readline replaces what is behind the last one.
	[[ $COMP_WORDBREAKS == *:* && $word == *:* ]] && trim=${word%"${word##*:}"}
	while IFS= read -r name; do
		COMPREPLY+=("${name#"$trim"}")
	done < <("$program" __complete "$1" "$word" 2>/dev/null)
	compopt -o filenames 2>/dev/null # readline then quotes
	[[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == */ ]] && compopt -o nospace 2>/dev/null
	[[ ${#COMPREPLY[@]} -gt 0 ]]
}

_allocq_snapshots() {
	_allocq_names snapshots "$1" || _allocq_files
}

# Names of the kernel, and files of this machine.
_allocq_both() {
	local name
	_allocq_names words "$1"
	while IFS= read -r name; do
		COMPREPLY+=("$name")
	done < <(compgen -f -- "$1")
	[[ ${#COMPREPLY[@]} -gt 0 ]] || _allocq_files
}

# Complete the command to run and its arguments, if the current word ($1) is one of them: it begins
# at the first word that is no option, or after --. $2: the options that take a value.
_allocq_command() {
	local word i
	for ((i = 2; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		--) ((i++)) && break ;;
		--*)
			if [[ ${COMP_WORDS[i + 1]} == = ]]; then
				((i += 2))
			elif [[ " $2 " == *" $word "* ]]; then
				((i++))
			fi
			;;
		-?*)
			# In a bundle (-qo) the first option with a value takes the rest or the next word.
			while word=${word#?} && [[ $word ]]; do
				[[ " $2 " == *" -${word:0:1} "* ]] || continue
				[[ $word == ? ]] && ((i++))
				break
			done
			;;
		*) break ;;
		esac
	done
	if ((i > COMP_CWORD)); then
		return 1
	elif ((i < COMP_CWORD)); then
		_allocq_files
	elif [[ ${COMP_WORDS[i - 1]} == -- || ${1:--} != -* ]]; then
		mapfile -t COMPREPLY < <(compgen -c -- "$1")
	else
		return 1
	fi
	return 0
}

_allocq() {
	local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} IFS=$' \t\n'
	local i=$COMP_CWORD
	COMPREPLY=()
	# mm/slub.c:33 comes as three words, and so does --flag=value.
	while ((i > 2)) && [[ ${COMP_WORDS[i]} == :* || $before == *: ]]; do
		current=$before$current
		((i--))
		before=${COMP_WORDS[i - 1]}
	done
	if [[ $current == = ]]; then
		current=
	elif [[ $before == = ]] && ((i > 1)); then
		before=${COMP_WORDS[i - 2]}
	fi
	if ((COMP_CWORD == 1)); then
		_allocq_words "query tree memory top snapshot record ship trend diff report export check stacks doctor profiling verify bench fleet -h --help -V --version" "$current"
		return
	fi
	case ${COMP_WORDS[1]} in
	query)
		case $before in
		-f | --file | -x | --exclude) _allocq_names files "$current" ;;
		-F | --function) _allocq_names functions "$current" ;;
		-m | --module) _allocq_names modules "$current" ;;
		-l | --line | --min-size | --max-size | --min-calls | --max-calls | -e | --regexp | -n | --limit | --at | --listing) : ;;
		-o | --format) _allocq_words "table procfs json jsonl csv tsv openmetrics parquet" "$current" ;;
		-s | --sort) _allocq_words "bytes calls average file function module none" "$current" ;;
		-g | --group-by) _allocq_words "file directory function module location" "$current" ;;
		--bounds) _allocq_words "sums tags" "$current" ;;
		--slab) _allocq_words "once include exclude only" "$current" ;;
		--color | --pager) _allocq_words "auto always never" "$current" ;;
		--output | --source | --vmlinux) _allocq_files ;;
		--interface) _allocq_words "auto ioctl text" "$current" ;;
		*)
			if [[ $current == -* ]]; then
				_allocq_words "-f --file -F --function -m --module --builtin -l --line --min-size --max-size --min-calls --max-calls --inaccurate --accurate --underflowed -e --regexp -i --ignore-case -v --invert-match -x --exclude -o --format -s --sort -r --reverse -n --limit -g --group-by --bounds --slab -c --count -q --quiet --header --no-header --bytes --color --pager --output --force --source --vmlinux --at --listing --sample --interface --explain --list-listings -h --help" "$current"
			else
				_allocq_both "$current"
			fi
			;;
		esac
		;;
	tree)
		case $before in
		-f | --file | -x | --exclude) _allocq_names files "$current" ;;
		-F | --function) _allocq_names functions "$current" ;;
		-m | --module) _allocq_names modules "$current" ;;
		-l | --line | --min-calls | --max-calls | -e | --regexp | -d | --depth | --min-size | -n | --limit | --at | --listing) : ;;
		-s | --sort) _allocq_words "bytes calls name" "$current" ;;
		--slab) _allocq_words "once include exclude only" "$current" ;;
		-o | --format) _allocq_words "table json jsonl csv tsv folded" "$current" ;;
		--color | --pager) _allocq_words "auto always never" "$current" ;;
		--output | --source | --vmlinux) _allocq_files ;;
		--interface) _allocq_words "auto ioctl text" "$current" ;;
		*)
			if [[ $current == -* ]]; then
				_allocq_words "-f --file -F --function -m --module --builtin -l --line --min-calls --max-calls --inaccurate --accurate --underflowed -e --regexp -i --ignore-case -v --invert-match -x --exclude -d --depth --min-size -s --sort -n --limit --slab -o --format --header --no-header --bytes --color --pager --output --force --source --vmlinux --at --listing --sample --interface -h --help" "$current"
			else
				_allocq_both "$current"
			fi
			;;
		esac
		;;
	memory)
		case $before in
		-n | --limit | --at | --listing) : ;;
		-o | --format) _allocq_words "table json" "$current" ;;
		--color) _allocq_words "auto always never" "$current" ;;
		--output | --meminfo | --source | --vmlinux) _allocq_files ;;
		--interface) _allocq_words "auto ioctl text" "$current" ;;
		*)
			if [[ $current == -* ]]; then
				_allocq_words "-n --limit -o --format --bytes --color --output --force --meminfo --source --vmlinux --at --listing --sample --interface -h --help" "$current"
			else
				_allocq_files
			fi
			;;
		esac
		;;
	top)
		case $before in
		--interval | -n | --count | -l | --line | --min-size | --max-size | --min-calls | --max-calls | -e | --regexp | --limit | --at) : ;;
		-f | --file | -x | --exclude) _allocq_names files "$current" ;;
		-F | --function) _allocq_names functions "$current" ;;
		-m | --module) _allocq_names modules "$current" ;;
		-s | --sort) _allocq_words "growth start bytes calls" "$current" ;;
		-g | --group-by) _allocq_words "file directory function module location" "$current" ;;
		-o | --format) _allocq_words "table jsonl csv tsv" "$current" ;;
		--color) _allocq_words "auto always never" "$current" ;;
		--source) _allocq_files ;;
		--interface) _allocq_words "auto ioctl text" "$current" ;;
		*)
			if [[ $current == -* ]]; then
				_allocq_words "--interval -b --batch -n --count -f --file -F --function -m --module --builtin -l --line --min-size --max-size --min-calls --max-calls --inaccurate --accurate --underflowed -e --regexp -i --ignore-case -v --invert-match -x --exclude -s --sort -r --reverse -g --group-by --limit -o --format --header --no-header --bytes --color --source --at --interface -h --help" "$current"
			else
				_allocq_both "$current"
			fi
			;;
		esac
		;;
	snapshot)
		case $before in
		--output | -o | --source | --vmlinux) _allocq_files ;;
		-f | --file | -x | --exclude) _allocq_names files "$current" ;;
		-F | --function) _allocq_names functions "$current" ;;
		-m | --module) _allocq_names modules "$current" ;;
		-l | --line | --min-size | --max-size | --min-calls | --max-calls | -e | --regexp | --at | --listing) : ;;
		--interface) _allocq_words "auto ioctl text" "$current" ;;
		*)
			if [[ $current == -* ]]; then
				_allocq_words "--output -o --force -f --file -F --function -m --module --builtin -l --line --min-size --max-size --min-calls --max-calls --inaccurate --accurate --underflowed -e --regexp -i --ignore-case -v --invert-match -x --exclude --source --vmlinux --at --listing --sample --interface -h --help" "$current"
			else
				_allocq_files
			fi
			;;
		esac
		;;
	record)
		case $before in
		-d | --directory | --interval | --keep | --max-size | --thin | --parquet | --host | -l | --line | --min-size | --min-calls | --max-calls | -e | --regexp) : ;;
		-f | --file | -x | --exclude) _allocq_names files "$current" ;;
		-F | --function) _allocq_names functions "$current" ;;
		-m | --module) _allocq_names modules "$current" ;;
		--source) _allocq_files ;;
		--interface) _allocq_words "auto ioctl text" "$current" ;;
		*)
			if [[ $current == -* ]]; then
				_allocq_words "-d --directory --interval --keep --max-size --thin --once --parquet --host -f --file -F --function -m --module --builtin -l --line --min-size --min-calls --max-calls --inaccurate --accurate --underflowed -e --regexp -i --ignore-case -v --invert-match -x --exclude --source --interface -h --help" "$current"
			else
				_allocq_files
			fi
			;;
		esac
		;;
	ship)
		case $before in
		--to) : ;;
		--source) _allocq_files ;;
		*)
			_allocq_words "--to --source --all --delete -q --quiet -h --help" "$current"
			;;
		esac
		;;
	trend)
		case $before in
		-f | --file | -x | --exclude) _allocq_names files "$current" ;;
		-F | --function) _allocq_names functions "$current" ;;
		-m | --module) _allocq_names modules "$current" ;;
		-l | --line | --min-size | --max-size | --min-calls | --max-calls | -e | --regexp | --since | --until | -n | --limit | --top) : ;;
		-g | --group-by) _allocq_words "file directory function module location" "$current" ;;
		-o | --format) _allocq_words "table json jsonl csv tsv" "$current" ;;
		--color) _allocq_words "auto always never" "$current" ;;
		--output | --source | --vmlinux) _allocq_files ;;
		*)
			if [[ $current == -* ]]; then
				_allocq_words "-f --file -F --function -m --module --builtin -l --line --min-size --max-size --min-calls --max-calls -e --regexp -i --ignore-case -v --invert-match -x --exclude --since --until -g --group-by --suspects --until-full --explain -n --limit --top -o --format --header --no-header --bytes --color --output --force --source --vmlinux -h --help" "$current"
			else
				_allocq_files
			fi
			;;
		esac
		;;
	diff)
		case $before in
		-f | --file | -x | --exclude) _allocq_names files "$current" ;;
		-F | --function) _allocq_names functions "$current" ;;
		-m | --module) _allocq_names modules "$current" ;;
		-l | --line | --min-size | --max-size | --min-calls | --max-calls | -e | --regexp | --since | --until | --min-growth | -n | --limit | --top) : ;;
		--source | --vmlinux | --output) _allocq_files ;;
		-g | --group-by) _allocq_words "file directory function module location" "$current" ;;
		--slab) _allocq_words "once include exclude only" "$current" ;;
		-s | --sort) _allocq_words "bytes calls percent after file function module none" "$current" ;;
		-o | --format) _allocq_words "table json jsonl csv tsv" "$current" ;;
		--color) _allocq_words "auto always never" "$current" ;;
		--interface) _allocq_words "auto ioctl text" "$current" ;;
		*)
			if [[ $current == -* ]]; then
				_allocq_words "-f --file -F --function -m --module --builtin -l --line --min-size --max-size --min-calls --max-calls --inaccurate --accurate --underflowed -e --regexp -i --ignore-case -v --invert-match -x --exclude -L --ignore-lines --source --since --until --vmlinux --min-growth -g --group-by --slab -s --sort -r --reverse -n --limit --top -o --format -q --quiet --header --no-header --bytes --color --output --force --interface -h --help" "$current"
			else
				_allocq_snapshots "$current"
			fi
			;;
		esac
		;;
	report)
		case $before in
		-f | --file | -x | --exclude) _allocq_names files "$current" ;;
		-F | --function) _allocq_names functions "$current" ;;
		-m | --module) _allocq_names modules "$current" ;;
		-l | --line | --min-size | --max-size | --min-calls | --max-calls | -e | --regexp | -n | --limit | --since | --until | --at | --listing) : ;;
		-o | --format) _allocq_words "html markdown" "$current" ;;
		--output | --meminfo | --stacks | --source | --vmlinux) _allocq_files ;;
		--interface) _allocq_words "auto ioctl text" "$current" ;;
		*)
			if [[ $current == -* ]]; then
				_allocq_words "-f --file -F --function -m --module --builtin -l --line --min-size --max-size --min-calls --max-calls --inaccurate --accurate --underflowed -e --regexp -i --ignore-case -v --invert-match -x --exclude -n --limit -o --format --output --force --since --until --meminfo --stacks --source --vmlinux --at --listing --sample --interface -h --help" "$current"
			else
				_allocq_files
			fi
			;;
		esac
		;;
	export)
		case $before in
		--listen | --max-age | --user | --top | --min-size | --hold | --file-include | --file-exclude | --function-include | --function-exclude | --module-include | --module-exclude | -l | --line | --max-size | --min-calls | --max-calls | -e | --regexp | --listing) : ;;
		--tls-cert | --tls-key | --tls-client-ca | --passwords | --textfile | --source) _allocq_files ;;
		-f | --file | -x | --exclude) _allocq_names files "$current" ;;
		-F | --function) _allocq_names functions "$current" ;;
		-m | --module) _allocq_names modules "$current" ;;
		--interface) _allocq_words "auto ioctl text" "$current" ;;
		*)
			if [[ $current == -* ]]; then
				_allocq_words "--listen --max-age --user --tls-cert --tls-key --tls-client-ca --passwords --textfile --top --min-size --hold --line-label --file-include --file-exclude --function-include --function-exclude --module-include --module-exclude -f --file -F --function -m --module --builtin -l --line --max-size --min-calls --max-calls --inaccurate --accurate --underflowed -e --regexp -i --ignore-case -v --invert-match -x --exclude --source --listing --sample --interface -h --help" "$current"
			else
				_allocq_both "$current"
			fi
			;;
		esac
		;;
	check)
		_allocq_command "$current" "--max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface" && return
		case $before in
		--max-growth | --repeat | --retries | --interval | -l | --line | --min-size | --max-size | --min-calls | --max-calls | -e | --regexp) : ;;
		--baseline | --report | --source) _allocq_files ;;
		-f | --file | -x | --exclude) _allocq_names files "$current" ;;
		-F | --function) _allocq_names functions "$current" ;;
		-m | --module) _allocq_names modules "$current" ;;
		-o | --format) _allocq_words "table json junit tap" "$current" ;;
		--color) _allocq_words "auto always never" "$current" ;;
		--interface) _allocq_words "auto ioctl text" "$current" ;;
		*)
			_allocq_words "--max-growth --repeat --baseline --retries --interval --drop-caches -L --ignore-lines -f --file -F --function -m --module --builtin -l --line --min-size --max-size --min-calls --max-calls --inaccurate --accurate --underflowed -e --regexp -i --ignore-case -v --invert-match -x --exclude -o --format --report -q --quiet --header --no-header --bytes --color --source --interface -h --help" "$current"
			;;
		esac
		;;
	stacks)
		case $before in
		-f | --file | -x | --exclude) _allocq_names files "$current" ;;
		-F | --function) _allocq_names functions "$current" ;;
		-m | --module) _allocq_names modules "$current" ;;
		-l | --line | -e | --regexp | --for | --map-size | --max-rate | -n | --limit) : ;;
		-o | --format) _allocq_words "table folded pprof speedscope json" "$current" ;;
		--color) _allocq_words "auto always never" "$current" ;;
		--output | --source) _allocq_files ;;
		*)
			if [[ $current == -* ]]; then
				_allocq_words "-f --file -F --function -m --module --builtin -l --line -e --regexp -i --ignore-case -v --invert-match -x --exclude --for --live --by-process --by-size --map-size --max-rate -n --limit -o --format --header --no-header --bytes --color --output --force --source -h --help" "$current"
			else
				_allocq_both "$current"
			fi
			;;
		esac
		;;
	doctor)
		case $before in
		-o | --format) _allocq_words "table json" "$current" ;;
		--color) _allocq_words "auto always never" "$current" ;;
		*)
			_allocq_words "-o --format --color -h --help" "$current"
			;;
		esac
		;;
	profiling)
		case $before in
		-o | --format) _allocq_words "table json" "$current" ;;
		--color) _allocq_words "auto always never" "$current" ;;
		*)
			if [[ $current == -* ]]; then
				_allocq_words "--persist --dry-run -o --format --color -h --help" "$current"
			else
				_allocq_files
			fi
			;;
		esac
		;;
	verify)
		case $before in
		--load-module | --rounds | --seed) : ;;
		-o | --format) _allocq_words "tap json" "$current" ;;
		*)
			_allocq_words "--load-module --rounds --seed -o --format -h --help" "$current"
			;;
		esac
		;;
	bench)
		case $before in
		-n | --runs | --min-size) : ;;
		-S | --scenario) _allocq_words "file file-size size" "$current" ;;
		-f | --file) _allocq_names files "$current" ;;
		-o | --format) _allocq_words "table json" "$current" ;;
		*)
			_allocq_words "-n --runs --drop-caches --warm -S --scenario -f --file --min-size -o --format -h --help" "$current"
			;;
		esac
		;;
	fleet)
		if ((COMP_CWORD == 2)); then
			_allocq_words "hosts top grown outliers percentiles compact -h --help" "$current"
			return
		fi
		case ${COMP_WORDS[2]} in
		hosts)
			case $before in
			--data | --output) _allocq_files ;;
			--since | --until | --kernel | --host | --master | -l | --line | --min-size | --max-size | --min-calls | --max-calls | -e | --regexp | -n | --limit) : ;;
			--engine) _allocq_words "duckdb spark" "$current" ;;
			-f | --file | -x | --exclude) _allocq_names files "$current" ;;
			-F | --function) _allocq_names functions "$current" ;;
			-m | --module) _allocq_names modules "$current" ;;
			-s | --sort) _allocq_words "host last samples boots bytes ahead" "$current" ;;
			-o | --format) _allocq_words "table json jsonl csv parquet" "$current" ;;
			--color) _allocq_words "auto always never" "$current" ;;
			*)
				if [[ $current == -* ]]; then
					_allocq_words "--data --since --until --kernel --host --engine --master -f --file -F --function -m --module --builtin -l --line --min-size --max-size --min-calls --max-calls --inaccurate --accurate --underflowed -e --regexp -i --ignore-case -v --invert-match -x --exclude -s --sort -r --reverse -n --limit -o --format -q --quiet --header --no-header --bytes --color --output --force -h --help" "$current"
				else
					_allocq_both "$current"
				fi
				;;
			esac
			;;
		top)
			case $before in
			--data | --output) _allocq_files ;;
			--since | --until | --kernel | --host | --master | -l | --line | --min-size | --max-size | --min-calls | --max-calls | -e | --regexp | -n | --limit) : ;;
			--engine) _allocq_words "duckdb spark" "$current" ;;
			-f | --file | -x | --exclude) _allocq_names files "$current" ;;
			-F | --function) _allocq_names functions "$current" ;;
			-m | --module) _allocq_names modules "$current" ;;
			-g | --group-by) _allocq_words "file directory function module" "$current" ;;
			-s | --sort) _allocq_words "bytes calls hosts max" "$current" ;;
			-o | --format) _allocq_words "table json jsonl csv parquet" "$current" ;;
			--color) _allocq_words "auto always never" "$current" ;;
			*)
				if [[ $current == -* ]]; then
					_allocq_words "--data --since --until --kernel --host --engine --master -f --file -F --function -m --module --builtin -l --line --min-size --max-size --min-calls --max-calls --inaccurate --accurate --underflowed -e --regexp -i --ignore-case -v --invert-match -x --exclude -g --group-by -s --sort -r --reverse -n --limit -o --format -q --quiet --header --no-header --bytes --color --output --force -h --help" "$current"
				else
					_allocq_both "$current"
				fi
				;;
			esac
			;;
		grown)
			case $before in
			--data | --output) _allocq_files ;;
			--since | --until | --since-rollout | --kernel | --host | --master | -l | --line | --min-size | --max-size | --min-calls | --max-calls | -e | --regexp | --min-growth | -n | --limit) : ;;
			--engine) _allocq_words "duckdb spark" "$current" ;;
			-f | --file | -x | --exclude) _allocq_names files "$current" ;;
			-F | --function) _allocq_names functions "$current" ;;
			-m | --module) _allocq_names modules "$current" ;;
			-g | --group-by) _allocq_words "file directory function module" "$current" ;;
			-s | --sort) _allocq_words "growth calls before after grew max" "$current" ;;
			-o | --format) _allocq_words "table json jsonl csv parquet" "$current" ;;
			--color) _allocq_words "auto always never" "$current" ;;
			*)
				if [[ $current == -* ]]; then
					_allocq_words "--data --since --until --since-rollout --kernel --host --engine --master -f --file -F --function -m --module --builtin -l --line --min-size --max-size --min-calls --max-calls --inaccurate --accurate --underflowed -e --regexp -i --ignore-case -v --invert-match -x --exclude --min-growth -g --group-by -s --sort -r --reverse -n --limit -o --format -q --quiet --header --no-header --bytes --color --output --force -h --help" "$current"
				else
					_allocq_both "$current"
				fi
				;;
			esac
			;;
		outliers)
			case $before in
			--data | --output) _allocq_files ;;
			--since | --until | --kernel | --host | --master | -l | --line | --min-size | --max-size | --min-calls | --max-calls | -e | --regexp | --min-score | --min-excess | -n | --limit) : ;;
			--engine) _allocq_words "duckdb spark" "$current" ;;
			-f | --file | -x | --exclude) _allocq_names files "$current" ;;
			-F | --function) _allocq_names functions "$current" ;;
			-m | --module) _allocq_names modules "$current" ;;
			-g | --group-by) _allocq_words "file directory function module" "$current" ;;
			-s | --sort) _allocq_words "excess bytes score" "$current" ;;
			-o | --format) _allocq_words "table json jsonl csv parquet" "$current" ;;
			--color) _allocq_words "auto always never" "$current" ;;
			*)
				if [[ $current == -* ]]; then
					_allocq_words "--data --since --until --kernel --host --engine --master -f --file -F --function -m --module --builtin -l --line --min-size --max-size --min-calls --max-calls --inaccurate --accurate --underflowed -e --regexp -i --ignore-case -v --invert-match -x --exclude --min-score --min-excess -g --group-by -s --sort -r --reverse -n --limit -o --format -q --quiet --header --no-header --bytes --color --output --force -h --help" "$current"
				else
					_allocq_both "$current"
				fi
				;;
			esac
			;;
		percentiles)
			case $before in
			--data | --output) _allocq_files ;;
			--since | --until | --kernel | --host | --master | -l | --line | --min-size | --max-size | --min-calls | --max-calls | -e | --regexp | -n | --limit) : ;;
			--engine) _allocq_words "duckdb spark" "$current" ;;
			-f | --file | -x | --exclude) _allocq_names files "$current" ;;
			-F | --function) _allocq_names functions "$current" ;;
			-m | --module) _allocq_names modules "$current" ;;
			-g | --group-by) _allocq_words "file directory function module" "$current" ;;
			-s | --sort) _allocq_words "p99 p90 p50 max hosts" "$current" ;;
			-o | --format) _allocq_words "table json jsonl csv parquet" "$current" ;;
			--color) _allocq_words "auto always never" "$current" ;;
			*)
				if [[ $current == -* ]]; then
					_allocq_words "--data --since --until --kernel --host --engine --master -f --file -F --function -m --module --builtin -l --line --min-size --max-size --min-calls --max-calls --inaccurate --accurate --underflowed -e --regexp -i --ignore-case -v --invert-match -x --exclude -g --group-by -s --sort -r --reverse -n --limit -o --format -q --quiet --header --no-header --bytes --color --output --force -h --help" "$current"
				else
					_allocq_both "$current"
				fi
				;;
			esac
			;;
		compact)
			case $before in
			--data) _allocq_files ;;
			*)
				_allocq_words "--data -h --help" "$current"
				;;
			esac
			;;
		esac
		;;
	esac
}

complete -F _allocq allocq
