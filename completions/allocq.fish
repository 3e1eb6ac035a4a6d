# allocq's completion for fish. Made by tests/generate.py from allocq/options.

function __allocq_no_command
    test (count (commandline -opc)) -eq 1
end

function __allocq_command
    set -l words (commandline -opc)
    test (count $words) -gt 1; and test $words[2] = $argv[1]
end

# Names of the kernel of a kind. allocq has them without starting Python.
function __allocq_names
    set -l words (commandline -opc)
    set -l word (string replace -r -- '^--[^=]*=' '' (commandline -ct) | string unescape)
    command -q $words[1]; or return
    command $words[1] __complete $argv[1] "$word" 2>/dev/null
end

function __allocq_snapshots
    set -l found (__allocq_names snapshots)
    if set -q found[1]
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end

# Print the command to run and its arguments so far: from the first word that is no option, or
# after --. The status says whether the current word belongs to it. $argv: the options that take a
# value.
function __allocq_words
    set -l words (commandline -opc)
    set -e words[1..2]
    while set -q words[1]
        set -l word $words[1]
        if test "$word" = --
            set -e words[1]
            set -q words[1]; and printf '%s\n' $words
            return 0
        else if not string match -q -- '-?*' $word
            printf '%s\n' $words
            return 0
        else if string match -q -- '--*' $word
            contains -- $word $argv; and set -e words[1]
        else
            # In a bundle (-qo) the first option with a value takes the rest or the next word.
            set -l letters (string split '' -- (string sub -s 2 -- $word))
            while set -q letters[1]
                if contains -- -$letters[1] $argv
                    set -q letters[2]; or set -e words[1]
                    break
                end
                set -e letters[1]
            end
        end
        set -q words[1]; or return 1 # the current word is a value
        set -e words[1]
    end
    set -l current (commandline -ct)
    not string match -q -- '-*' "$current"
end

function __allocq_run
    set -l words (__allocq_words $argv); or return
    complete -C (string join ' ' -- (string escape -- $words) (commandline -ct))
end

complete -c allocq -f
complete -c allocq -n __allocq_no_command -a query -d 'Find tags and print them'
complete -c allocq -n __allocq_no_command -a tree -d 'Show memory by source directory, file, function and line, like du'
complete -c allocq -n __allocq_no_command -a memory -d 'Compare the tags with /proc/meminfo'
complete -c allocq -n __allocq_no_command -a top -d 'Show what is growing, live and full screen'
complete -c allocq -n __allocq_no_command -a snapshot -d 'Save the tags to a file that cat, grep and every allocq command can read, with the time, host, kernel and boot'
complete -c allocq -n __allocq_no_command -a record -d 'Take samples of the running kernel until a signal ends it, for query, tree, diff and others with --source DIR'
complete -c allocq -n __allocq_no_command -a trend -d 'Show what leaks'
complete -c allocq -n __allocq_no_command -a diff -d 'Show what grew between two listings or more, or since one'
complete -c allocq -n __allocq_no_command -a report -d 'Draw one HTML or Markdown file to send'
complete -c allocq -n __allocq_no_command -a check -d 'Run COMMAND and fail if a tag grew more than allowed'
complete -c allocq -n __allocq_no_command -a stacks -d 'Show which call stacks allocate through a tag, file, function or module, while it watches'
complete -c allocq -n __allocq_no_command -a doctor -d 'Report what this kernel supports, what is enabled, and how to fix what is not'
complete -c allocq -n __allocq_no_command -a profiling -d 'Show whether the kernel counts allocations, and turn that on or off'
complete -c allocq -n __allocq_no_command -a verify -d 'Check that the ioctl and the text file agree on this kernel'
complete -c allocq -n __allocq_no_command -a bench -d 'Time cat, grep and awk against allocq on this machine'
complete -c allocq -n __allocq_no_command -s h -l help -d 'Show this message and exit'
complete -c allocq -n __allocq_no_command -s V -l version -d 'Print the version and exit'

complete -c allocq -n '__allocq_command query' -s f -l file -x -a '(__allocq_names files)' -d 'Match the whole path, its last components, a directory, FILE:LINE, or a glob of the whole path'
complete -c allocq -n '__allocq_command query' -s F -l function -x -a '(__allocq_names functions)' -d 'Match the function by name or glob'
complete -c allocq -n '__allocq_command query' -s m -l module -x -a '(__allocq_names modules)' -d 'Match the module by name or glob'
complete -c allocq -n '__allocq_command query' -l builtin -d 'Only built-in code, not modules'
complete -c allocq -n '__allocq_command query' -s l -l line -x -d 'Match a line number or a range'
complete -c allocq -n '__allocq_command query' -l min-size -x -d 'At least SIZE bytes'
complete -c allocq -n '__allocq_command query' -l max-size -x -d 'At most SIZE bytes'
complete -c allocq -n '__allocq_command query' -l min-calls -x -d 'At least N live allocations'
complete -c allocq -n '__allocq_command query' -l max-calls -x -d 'At most N live allocations'
complete -c allocq -n '__allocq_command query' -l inaccurate -d 'Only counters that the kernel flags inaccurate'
complete -c allocq -n '__allocq_command query' -l accurate -d 'Only counters not flagged inaccurate'
complete -c allocq -n '__allocq_command query' -l underflowed -d 'Only counters below zero, which sums leave out'
complete -c allocq -n '__allocq_command query' -s e -l regexp -x -d 'Search FILE:LINE [MODULE] func:FUNCTION for REGEX'
complete -c allocq -n '__allocq_command query' -s i -l ignore-case -d 'Ignore case in --regexp'
complete -c allocq -n '__allocq_command query' -s v -l invert-match -d 'Keep what no --regexp matches'
complete -c allocq -n '__allocq_command query' -s x -l exclude -x -a '(__allocq_names files)' -d 'Leave out files that match PATH, which is read as --file reads it'
complete -c allocq -n '__allocq_command query' -s o -l format -x -a 'table procfs json jsonl csv tsv' -d 'Output format'
complete -c allocq -n '__allocq_command query' -s s -l sort -x -a 'bytes calls average file function module none' -d 'Sort by KEY, numbers largest first'
complete -c allocq -n '__allocq_command query' -s r -l reverse -d 'Reverse the sort order'
complete -c allocq -n '__allocq_command query' -s n -l limit -x -d 'Show only the first N after sorting'
complete -c allocq -n '__allocq_command query' -s g -l group-by -x -a 'file directory function module location' -d 'Show sums per KEY instead of single tags'
complete -c allocq -n '__allocq_command query' -l bounds -x -a 'sums tags' -d 'With --group-by, what size and call bounds hold for'
complete -c allocq -n '__allocq_command query' -l slab -x -a 'once include exclude only' -d 'Slab pages, whose objects are also counted at their own tags'
complete -c allocq -n '__allocq_command query' -s c -l count -d 'Print only the number of matching tags, or of groups, plain in any format'
complete -c allocq -n '__allocq_command query' -s q -l quiet -d 'Print nothing'
complete -c allocq -n '__allocq_command query' -l header -d 'Print the header line'
complete -c allocq -n '__allocq_command query' -l no-header -d 'Print the header line'
complete -c allocq -n '__allocq_command query' -l bytes -d 'Show plain byte counts in tables instead of 1.5M'
complete -c allocq -n '__allocq_command query' -l color -x -a 'auto always never' -d 'Colorize tables'
complete -c allocq -n '__allocq_command query' -l pager -x -a 'auto always never' -d 'On a terminal, show what was asked for in full with $PAGER'
complete -c allocq -n '__allocq_command query' -l output -r -F -d 'Write the answer to FILE, whole or not at all, instead of standard output'
complete -c allocq -n '__allocq_command query' -l force -d 'Replace the FILE of --output if it exists'
complete -c allocq -n '__allocq_command query' -l source -r -F -d 'Read a saved /proc/allocinfo, a snapshot, a kernel log, a paste or an archive with one'
complete -c allocq -n '__allocq_command query' -l at -x -d 'The source is a directory'
complete -c allocq -n '__allocq_command query' -l listing -x -d 'Which listing of a file that holds several'
complete -c allocq -n '__allocq_command query' -l sample -d 'Read the sample installed with allocq'
complete -c allocq -n '__allocq_command query' -l interface -x -a 'auto ioctl text' -d 'How to ask the running kernel'
complete -c allocq -n '__allocq_command query' -l explain -d 'Print the plan instead of the answer'
complete -c allocq -n '__allocq_command query' -l list-listings -d 'List the listings that a file holds instead of tags'
complete -c allocq -n '__allocq_command query' -s h -l help -d 'Show this message and exit'
complete -c allocq -n '__allocq_command query' -F -a '(__allocq_names words)'

complete -c allocq -n '__allocq_command tree' -s f -l file -x -a '(__allocq_names files)' -d 'Match the whole path, its last components, a directory, FILE:LINE, or a glob of the whole path'
complete -c allocq -n '__allocq_command tree' -s F -l function -x -a '(__allocq_names functions)' -d 'Match the function by name or glob'
complete -c allocq -n '__allocq_command tree' -s m -l module -x -a '(__allocq_names modules)' -d 'Match the module by name or glob'
complete -c allocq -n '__allocq_command tree' -l builtin -d 'Only built-in code, not modules'
complete -c allocq -n '__allocq_command tree' -s l -l line -x -d 'Match a line number or a range'
complete -c allocq -n '__allocq_command tree' -l min-calls -x -d 'At least N live allocations'
complete -c allocq -n '__allocq_command tree' -l max-calls -x -d 'At most N live allocations'
complete -c allocq -n '__allocq_command tree' -l inaccurate -d 'Only counters that the kernel flags inaccurate'
complete -c allocq -n '__allocq_command tree' -l accurate -d 'Only counters not flagged inaccurate'
complete -c allocq -n '__allocq_command tree' -l underflowed -d 'Only counters below zero, which sums leave out'
complete -c allocq -n '__allocq_command tree' -s e -l regexp -x -d 'Search FILE:LINE [MODULE] func:FUNCTION for REGEX'
complete -c allocq -n '__allocq_command tree' -s i -l ignore-case -d 'Ignore case in --regexp'
complete -c allocq -n '__allocq_command tree' -s v -l invert-match -d 'Keep what no --regexp matches'
complete -c allocq -n '__allocq_command tree' -s x -l exclude -x -a '(__allocq_names files)' -d 'Leave out files that match PATH, which is read as --file reads it'
complete -c allocq -n '__allocq_command tree' -s d -l depth -x -d 'Show N levels of directories, files, functions and lines'
complete -c allocq -n '__allocq_command tree' -l min-size -x -d 'Hide what holds less than SIZE'
complete -c allocq -n '__allocq_command tree' -s s -l sort -x -a 'bytes calls name' -d 'Sort each level by KEY, numbers largest first'
complete -c allocq -n '__allocq_command tree' -s n -l limit -x -d 'Show only the first N at each level'
complete -c allocq -n '__allocq_command tree' -l slab -x -a 'once include exclude only' -d 'Slab pages, whose objects are also counted at their own tags'
complete -c allocq -n '__allocq_command tree' -s o -l format -x -a 'table json jsonl csv tsv folded' -d 'Output format'
complete -c allocq -n '__allocq_command tree' -l header -d 'Print the header line'
complete -c allocq -n '__allocq_command tree' -l no-header -d 'Print the header line'
complete -c allocq -n '__allocq_command tree' -l bytes -d 'Show plain byte counts in tables instead of 1.5M'
complete -c allocq -n '__allocq_command tree' -l color -x -a 'auto always never' -d 'Colorize tables'
complete -c allocq -n '__allocq_command tree' -l pager -x -a 'auto always never' -d 'On a terminal, show what was asked for in full with $PAGER'
complete -c allocq -n '__allocq_command tree' -l output -r -F -d 'Write the answer to FILE, whole or not at all, instead of standard output'
complete -c allocq -n '__allocq_command tree' -l force -d 'Replace the FILE of --output if it exists'
complete -c allocq -n '__allocq_command tree' -l source -r -F -d 'Read a saved /proc/allocinfo, a snapshot, a kernel log, a paste or an archive with one'
complete -c allocq -n '__allocq_command tree' -l at -x -d 'The source is a directory'
complete -c allocq -n '__allocq_command tree' -l listing -x -d 'Which listing of a file that holds several'
complete -c allocq -n '__allocq_command tree' -l sample -d 'Read the sample installed with allocq'
complete -c allocq -n '__allocq_command tree' -l interface -x -a 'auto ioctl text' -d 'How to ask the running kernel'
complete -c allocq -n '__allocq_command tree' -s h -l help -d 'Show this message and exit'
complete -c allocq -n '__allocq_command tree' -F -a '(__allocq_names words)'

complete -c allocq -n '__allocq_command memory' -s n -l limit -x -d 'Show the N largest tags of the kernel'
complete -c allocq -n '__allocq_command memory' -s o -l format -x -a 'table json' -d 'Output format'
complete -c allocq -n '__allocq_command memory' -l bytes -d 'Show plain byte counts in tables instead of 1.5M'
complete -c allocq -n '__allocq_command memory' -l color -x -a 'auto always never' -d 'Colorize tables'
complete -c allocq -n '__allocq_command memory' -l output -r -F -d 'Write the answer to FILE, whole or not at all, instead of standard output'
complete -c allocq -n '__allocq_command memory' -l force -d 'Replace the FILE of --output if it exists'
complete -c allocq -n '__allocq_command memory' -l meminfo -r -F -d 'Read /proc/meminfo from FILE'
complete -c allocq -n '__allocq_command memory' -l source -r -F -d 'Read a saved /proc/allocinfo, a snapshot, a kernel log, a paste or an archive with one'
complete -c allocq -n '__allocq_command memory' -l at -x -d 'The source is a directory'
complete -c allocq -n '__allocq_command memory' -l listing -x -d 'Which listing of a file that holds several'
complete -c allocq -n '__allocq_command memory' -l sample -d 'Read the sample installed with allocq'
complete -c allocq -n '__allocq_command memory' -l interface -x -a 'auto ioctl text' -d 'How to ask the running kernel'
complete -c allocq -n '__allocq_command memory' -s h -l help -d 'Show this message and exit'
complete -c allocq -n '__allocq_command memory' -F

complete -c allocq -n '__allocq_command top' -l interval -x -d 'Refresh every TIME'
complete -c allocq -n '__allocq_command top' -s b -l batch -d 'Print plainly, for logs and pipes, instead of on a screen'
complete -c allocq -n '__allocq_command top' -s n -l count -x -d 'End after N refreshes'
complete -c allocq -n '__allocq_command top' -s f -l file -x -a '(__allocq_names files)' -d 'Match the whole path, its last components, a directory, FILE:LINE, or a glob of the whole path'
complete -c allocq -n '__allocq_command top' -s F -l function -x -a '(__allocq_names functions)' -d 'Match the function by name or glob'
complete -c allocq -n '__allocq_command top' -s m -l module -x -a '(__allocq_names modules)' -d 'Match the module by name or glob'
complete -c allocq -n '__allocq_command top' -l builtin -d 'Only built-in code, not modules'
complete -c allocq -n '__allocq_command top' -s l -l line -x -d 'Match a line number or a range'
complete -c allocq -n '__allocq_command top' -l min-size -x -d 'At least SIZE bytes'
complete -c allocq -n '__allocq_command top' -l max-size -x -d 'At most SIZE bytes'
complete -c allocq -n '__allocq_command top' -l min-calls -x -d 'At least N live allocations'
complete -c allocq -n '__allocq_command top' -l max-calls -x -d 'At most N live allocations'
complete -c allocq -n '__allocq_command top' -l inaccurate -d 'Only counters that the kernel flags inaccurate'
complete -c allocq -n '__allocq_command top' -l accurate -d 'Only counters not flagged inaccurate'
complete -c allocq -n '__allocq_command top' -l underflowed -d 'Only counters below zero, which sums leave out'
complete -c allocq -n '__allocq_command top' -s e -l regexp -x -d 'Search FILE:LINE [MODULE] func:FUNCTION for REGEX'
complete -c allocq -n '__allocq_command top' -s i -l ignore-case -d 'Ignore case in --regexp'
complete -c allocq -n '__allocq_command top' -s v -l invert-match -d 'Keep what no --regexp matches'
complete -c allocq -n '__allocq_command top' -s x -l exclude -x -a '(__allocq_names files)' -d 'Leave out files that match PATH, which is read as --file reads it'
complete -c allocq -n '__allocq_command top' -s s -l sort -x -a 'growth start bytes calls' -d 'Sort by KEY, largest first'
complete -c allocq -n '__allocq_command top' -s r -l reverse -d 'Reverse the sort order'
complete -c allocq -n '__allocq_command top' -s g -l group-by -x -a 'file directory function module location' -d 'Show sums per KEY instead of single tags'
complete -c allocq -n '__allocq_command top' -l limit -x -d 'With --batch, print only the first N'
complete -c allocq -n '__allocq_command top' -s o -l format -x -a 'table jsonl csv tsv' -d 'With --batch, the output format'
complete -c allocq -n '__allocq_command top' -l header -d 'With --batch, print the header line of tables, csv and tsv'
complete -c allocq -n '__allocq_command top' -l no-header -d 'With --batch, print the header line of tables, csv and tsv'
complete -c allocq -n '__allocq_command top' -l bytes -d 'Show plain byte counts in tables instead of 1.5M'
complete -c allocq -n '__allocq_command top' -l color -x -a 'auto always never' -d 'Colorize tables'
complete -c allocq -n '__allocq_command top' -l source -r -F -d 'Replay DIR, a recording or a folder of saved listings'
complete -c allocq -n '__allocq_command top' -l at -x -d 'Begin the replay with the last listing that is not later than TIME'
complete -c allocq -n '__allocq_command top' -l interface -x -a 'auto ioctl text' -d 'How to ask the running kernel'
complete -c allocq -n '__allocq_command top' -s h -l help -d 'Show this message and exit'
complete -c allocq -n '__allocq_command top' -F -a '(__allocq_names words)'

complete -c allocq -n '__allocq_command snapshot' -l output -r -F -d 'The same as the operand FILE'
complete -c allocq -n '__allocq_command snapshot' -s o -r -F -d 'The old spelling of --output'
complete -c allocq -n '__allocq_command snapshot' -l force -d 'Replace FILE if it exists'
complete -c allocq -n '__allocq_command snapshot' -s f -l file -x -a '(__allocq_names files)' -d 'Match the whole path, its last components, a directory, FILE:LINE, or a glob of the whole path'
complete -c allocq -n '__allocq_command snapshot' -s F -l function -x -a '(__allocq_names functions)' -d 'Match the function by name or glob'
complete -c allocq -n '__allocq_command snapshot' -s m -l module -x -a '(__allocq_names modules)' -d 'Match the module by name or glob'
complete -c allocq -n '__allocq_command snapshot' -l builtin -d 'Only built-in code, not modules'
complete -c allocq -n '__allocq_command snapshot' -s l -l line -x -d 'Match a line number or a range'
complete -c allocq -n '__allocq_command snapshot' -l min-size -x -d 'At least SIZE bytes'
complete -c allocq -n '__allocq_command snapshot' -l max-size -x -d 'At most SIZE bytes'
complete -c allocq -n '__allocq_command snapshot' -l min-calls -x -d 'At least N live allocations'
complete -c allocq -n '__allocq_command snapshot' -l max-calls -x -d 'At most N live allocations'
complete -c allocq -n '__allocq_command snapshot' -l inaccurate -d 'Only counters that the kernel flags inaccurate'
complete -c allocq -n '__allocq_command snapshot' -l accurate -d 'Only counters not flagged inaccurate'
complete -c allocq -n '__allocq_command snapshot' -l underflowed -d 'Only counters below zero, which sums leave out'
complete -c allocq -n '__allocq_command snapshot' -s e -l regexp -x -d 'Search FILE:LINE [MODULE] func:FUNCTION for REGEX'
complete -c allocq -n '__allocq_command snapshot' -s i -l ignore-case -d 'Ignore case in --regexp'
complete -c allocq -n '__allocq_command snapshot' -s v -l invert-match -d 'Keep what no --regexp matches'
complete -c allocq -n '__allocq_command snapshot' -s x -l exclude -x -a '(__allocq_names files)' -d 'Leave out files that match PATH, which is read as --file reads it'
complete -c allocq -n '__allocq_command snapshot' -l source -r -F -d 'Read a saved /proc/allocinfo, a snapshot, a kernel log, a paste or an archive with one'
complete -c allocq -n '__allocq_command snapshot' -l at -x -d 'The source is a directory'
complete -c allocq -n '__allocq_command snapshot' -l listing -x -d 'Which listing of a file that holds several'
complete -c allocq -n '__allocq_command snapshot' -l sample -d 'Read the sample installed with allocq'
complete -c allocq -n '__allocq_command snapshot' -l interface -x -a 'auto ioctl text' -d 'How to ask the running kernel'
complete -c allocq -n '__allocq_command snapshot' -s h -l help -d 'Show this message and exit'
complete -c allocq -n '__allocq_command snapshot' -F

complete -c allocq -n '__allocq_command record' -s d -l directory -x -d 'The recording'
complete -c allocq -n '__allocq_command record' -l interval -x -d 'Take a sample every TIME'
complete -c allocq -n '__allocq_command record' -l keep -x -d 'Remove days that ended longer than TIME ago'
complete -c allocq -n '__allocq_command record' -l max-size -x -d 'Remove the oldest days while the recording is larger than SIZE'
complete -c allocq -n '__allocq_command record' -l thin -x -d 'Of days that ended longer than AGE ago, keep one sample every TIME, with the lowest and the highest counters of that time'
complete -c allocq -n '__allocq_command record' -l once -d 'Take one sample and end, as for cron'
complete -c allocq -n '__allocq_command record' -s f -l file -x -a '(__allocq_names files)' -d 'Match the whole path, its last components, a directory, FILE:LINE, or a glob of the whole path'
complete -c allocq -n '__allocq_command record' -s F -l function -x -a '(__allocq_names functions)' -d 'Match the function by name or glob'
complete -c allocq -n '__allocq_command record' -s m -l module -x -a '(__allocq_names modules)' -d 'Match the module by name or glob'
complete -c allocq -n '__allocq_command record' -l builtin -d 'Only built-in code, not modules'
complete -c allocq -n '__allocq_command record' -s l -l line -x -d 'Match a line number or a range'
complete -c allocq -n '__allocq_command record' -l min-size -x -d 'At least SIZE bytes'
complete -c allocq -n '__allocq_command record' -l min-calls -x -d 'At least N live allocations'
complete -c allocq -n '__allocq_command record' -l max-calls -x -d 'At most N live allocations'
complete -c allocq -n '__allocq_command record' -l inaccurate -d 'Only counters that the kernel flags inaccurate'
complete -c allocq -n '__allocq_command record' -l accurate -d 'Only counters not flagged inaccurate'
complete -c allocq -n '__allocq_command record' -l underflowed -d 'Only counters below zero, which sums leave out'
complete -c allocq -n '__allocq_command record' -s e -l regexp -x -d 'Search FILE:LINE [MODULE] func:FUNCTION for REGEX'
complete -c allocq -n '__allocq_command record' -s i -l ignore-case -d 'Ignore case in --regexp'
complete -c allocq -n '__allocq_command record' -s v -l invert-match -d 'Keep what no --regexp matches'
complete -c allocq -n '__allocq_command record' -s x -l exclude -x -a '(__allocq_names files)' -d 'Leave out files that match PATH, which is read as --file reads it'
complete -c allocq -n '__allocq_command record' -l interface -x -a 'auto ioctl text' -d 'How to ask the running kernel'
complete -c allocq -n '__allocq_command record' -s h -l help -d 'Show this message and exit'
complete -c allocq -n '__allocq_command record' -F

complete -c allocq -n '__allocq_command trend' -s f -l file -x -a '(__allocq_names files)' -d 'Match the whole path, its last components, a directory, FILE:LINE, or a glob of the whole path'
complete -c allocq -n '__allocq_command trend' -s F -l function -x -a '(__allocq_names functions)' -d 'Match the function by name or glob'
complete -c allocq -n '__allocq_command trend' -s m -l module -x -a '(__allocq_names modules)' -d 'Match the module by name or glob'
complete -c allocq -n '__allocq_command trend' -l builtin -d 'Only built-in code, not modules'
complete -c allocq -n '__allocq_command trend' -s l -l line -x -d 'Match a line number or a range'
complete -c allocq -n '__allocq_command trend' -l min-size -x -d 'At least SIZE bytes'
complete -c allocq -n '__allocq_command trend' -l max-size -x -d 'At most SIZE bytes'
complete -c allocq -n '__allocq_command trend' -l min-calls -x -d 'At least N live allocations'
complete -c allocq -n '__allocq_command trend' -l max-calls -x -d 'At most N live allocations'
complete -c allocq -n '__allocq_command trend' -s e -l regexp -x -d 'Search FILE:LINE [MODULE] func:FUNCTION for REGEX'
complete -c allocq -n '__allocq_command trend' -s i -l ignore-case -d 'Ignore case in --regexp'
complete -c allocq -n '__allocq_command trend' -s v -l invert-match -d 'Keep what no --regexp matches'
complete -c allocq -n '__allocq_command trend' -s x -l exclude -x -a '(__allocq_names files)' -d 'Leave out files that match PATH, which is read as --file reads it'
complete -c allocq -n '__allocq_command trend' -l since -x -d 'Begin at TIME'
complete -c allocq -n '__allocq_command trend' -l until -x -d 'End at TIME'
complete -c allocq -n '__allocq_command trend' -s g -l group-by -x -a 'file directory function module location' -d 'Show sums per KEY instead of single tags'
complete -c allocq -n '__allocq_command trend' -l suspects -d 'Show only what is suspected of a leak'
complete -c allocq -n '__allocq_command trend' -l until-full -d 'Show when each place alone will have taken the memory that is available, at its rate'
complete -c allocq -n '__allocq_command trend' -l explain -d 'Below a table, say of each place why it is suspected or not'
complete -c allocq -n '__allocq_command trend' -s n -l limit -l top -x -d 'Show only the first N'
complete -c allocq -n '__allocq_command trend' -s o -l format -x -a 'table json jsonl csv tsv' -d 'Output format'
complete -c allocq -n '__allocq_command trend' -l header -d 'Print the header line'
complete -c allocq -n '__allocq_command trend' -l no-header -d 'Print the header line'
complete -c allocq -n '__allocq_command trend' -l bytes -d 'Show plain byte counts in tables instead of 1.5M'
complete -c allocq -n '__allocq_command trend' -l color -x -a 'auto always never' -d 'Colorize tables'
complete -c allocq -n '__allocq_command trend' -l output -r -F -d 'Write the answer to FILE, whole or not at all, instead of standard output'
complete -c allocq -n '__allocq_command trend' -l force -d 'Replace the FILE of --output if it exists'
complete -c allocq -n '__allocq_command trend' -l source -r -F -d 'The same as the operand SOURCE'
complete -c allocq -n '__allocq_command trend' -s h -l help -d 'Show this message and exit'
complete -c allocq -n '__allocq_command trend' -F

complete -c allocq -n '__allocq_command diff' -s f -l file -x -a '(__allocq_names files)' -d 'Match the whole path, its last components, a directory, FILE:LINE, or a glob of the whole path'
complete -c allocq -n '__allocq_command diff' -s F -l function -x -a '(__allocq_names functions)' -d 'Match the function by name or glob'
complete -c allocq -n '__allocq_command diff' -s m -l module -x -a '(__allocq_names modules)' -d 'Match the module by name or glob'
complete -c allocq -n '__allocq_command diff' -l builtin -d 'Only built-in code, not modules'
complete -c allocq -n '__allocq_command diff' -s l -l line -x -d 'Match a line number or a range'
complete -c allocq -n '__allocq_command diff' -l min-size -x -d 'At least SIZE bytes'
complete -c allocq -n '__allocq_command diff' -l max-size -x -d 'At most SIZE bytes'
complete -c allocq -n '__allocq_command diff' -l min-calls -x -d 'At least N live allocations'
complete -c allocq -n '__allocq_command diff' -l max-calls -x -d 'At most N live allocations'
complete -c allocq -n '__allocq_command diff' -l inaccurate -d 'Only counters that the kernel flags inaccurate'
complete -c allocq -n '__allocq_command diff' -l accurate -d 'Only counters not flagged inaccurate'
complete -c allocq -n '__allocq_command diff' -l underflowed -d 'Only counters below zero, which sums leave out'
complete -c allocq -n '__allocq_command diff' -s e -l regexp -x -d 'Search FILE:LINE [MODULE] func:FUNCTION for REGEX'
complete -c allocq -n '__allocq_command diff' -s i -l ignore-case -d 'Ignore case in --regexp'
complete -c allocq -n '__allocq_command diff' -s v -l invert-match -d 'Keep what no --regexp matches'
complete -c allocq -n '__allocq_command diff' -s x -l exclude -x -a '(__allocq_names files)' -d 'Leave out files that match PATH, which is read as --file reads it'
complete -c allocq -n '__allocq_command diff' -s L -l ignore-lines -d 'Match by file, module and function only, because lines move between kernels'
complete -c allocq -n '__allocq_command diff' -l source -r -F -d 'Compare two listings of DIR, a recording or a folder of saved listings'
complete -c allocq -n '__allocq_command diff' -l since -x -d 'Compare with the last listing of DIR, or of BEFORE if that is a directory, that is not later than TIME'
complete -c allocq -n '__allocq_command diff' -l until -x -d 'Compare up to the last listing that is not later than TIME'
complete -c allocq -n '__allocq_command diff' -l min-growth -x -d 'Show only what grew by at least SIZE bytes'
complete -c allocq -n '__allocq_command diff' -s g -l group-by -x -a 'file directory function module location' -d 'Show sums per KEY instead of single tags'
complete -c allocq -n '__allocq_command diff' -l slab -x -a 'once include exclude only' -d 'Slab pages, whose objects are also counted at their own tags'
complete -c allocq -n '__allocq_command diff' -s s -l sort -x -a 'bytes calls percent after file function module none' -d 'Sort by KEY'
complete -c allocq -n '__allocq_command diff' -s r -l reverse -d 'Reverse the sort order'
complete -c allocq -n '__allocq_command diff' -s n -l limit -l top -x -d 'Show only the first N after sorting'
complete -c allocq -n '__allocq_command diff' -s o -l format -x -a 'table json jsonl csv tsv' -d 'Output format'
complete -c allocq -n '__allocq_command diff' -s q -l quiet -d 'Print nothing'
complete -c allocq -n '__allocq_command diff' -l header -d 'Print the header line of a table, csv or tsv'
complete -c allocq -n '__allocq_command diff' -l no-header -d 'Print the header line of a table, csv or tsv'
complete -c allocq -n '__allocq_command diff' -l bytes -d 'Show plain byte counts in tables instead of 1.5M'
complete -c allocq -n '__allocq_command diff' -l color -x -a 'auto always never' -d 'Colorize tables'
complete -c allocq -n '__allocq_command diff' -l output -r -F -d 'Write the answer to FILE, whole or not at all, instead of standard output'
complete -c allocq -n '__allocq_command diff' -l force -d 'Replace the FILE of --output if it exists'
complete -c allocq -n '__allocq_command diff' -l interface -x -a 'auto ioctl text' -d 'How to ask the running kernel'
complete -c allocq -n '__allocq_command diff' -s h -l help -d 'Show this message and exit'
complete -c allocq -n '__allocq_command diff' -a '(__allocq_snapshots)'

complete -c allocq -n '__allocq_command report' -s f -l file -x -a '(__allocq_names files)' -d 'Match the whole path, its last components, a directory, FILE:LINE, or a glob of the whole path'
complete -c allocq -n '__allocq_command report' -s F -l function -x -a '(__allocq_names functions)' -d 'Match the function by name or glob'
complete -c allocq -n '__allocq_command report' -s m -l module -x -a '(__allocq_names modules)' -d 'Match the module by name or glob'
complete -c allocq -n '__allocq_command report' -l builtin -d 'Only built-in code, not modules'
complete -c allocq -n '__allocq_command report' -s l -l line -x -d 'Match a line number or a range'
complete -c allocq -n '__allocq_command report' -l min-size -x -d 'At least SIZE bytes'
complete -c allocq -n '__allocq_command report' -l max-size -x -d 'At most SIZE bytes'
complete -c allocq -n '__allocq_command report' -l min-calls -x -d 'At least N live allocations'
complete -c allocq -n '__allocq_command report' -l max-calls -x -d 'At most N live allocations'
complete -c allocq -n '__allocq_command report' -l inaccurate -d 'Only counters that the kernel flags inaccurate'
complete -c allocq -n '__allocq_command report' -l accurate -d 'Only counters not flagged inaccurate'
complete -c allocq -n '__allocq_command report' -l underflowed -d 'Only counters below zero, which sums leave out'
complete -c allocq -n '__allocq_command report' -s e -l regexp -x -d 'Search FILE:LINE [MODULE] func:FUNCTION for REGEX'
complete -c allocq -n '__allocq_command report' -s i -l ignore-case -d 'Ignore case in --regexp'
complete -c allocq -n '__allocq_command report' -s v -l invert-match -d 'Keep what no --regexp matches'
complete -c allocq -n '__allocq_command report' -s x -l exclude -x -a '(__allocq_names files)' -d 'Leave out files that match PATH, which is read as --file reads it'
complete -c allocq -n '__allocq_command report' -s n -l limit -x -d 'Show the N largest and the N most grown above the table of all tags'
complete -c allocq -n '__allocq_command report' -s o -l format -x -a 'html markdown' -d 'Output format'
complete -c allocq -n '__allocq_command report' -l output -r -F -d 'Write the answer to FILE, whole or not at all, instead of standard output'
complete -c allocq -n '__allocq_command report' -l force -d 'Replace the FILE of --output if it exists'
complete -c allocq -n '__allocq_command report' -l since -x -d 'Of a recording, begin at TIME'
complete -c allocq -n '__allocq_command report' -l until -x -d 'Of a recording, end at TIME'
complete -c allocq -n '__allocq_command report' -l meminfo -r -F -d 'Read /proc/meminfo from FILE'
complete -c allocq -n '__allocq_command report' -l source -r -F -d 'Read a saved /proc/allocinfo, a snapshot, a kernel log, a paste or an archive with one'
complete -c allocq -n '__allocq_command report' -l at -x -d 'The source is a directory'
complete -c allocq -n '__allocq_command report' -l listing -x -d 'Which listing of a file that holds several'
complete -c allocq -n '__allocq_command report' -l sample -d 'Read the sample installed with allocq'
complete -c allocq -n '__allocq_command report' -l interface -x -a 'auto ioctl text' -d 'How to ask the running kernel'
complete -c allocq -n '__allocq_command report' -s h -l help -d 'Show this message and exit'
complete -c allocq -n '__allocq_command report' -F

complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -l max-growth -x -d 'Let each tag grow by SIZE'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -l repeat -x -d 'Run COMMAND once to warm up and then N times'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -l baseline -r -F -d 'Compare with a snapshot or a saved /proc/allocinfo instead of readings taken before the command'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -l retries -x -d 'Read again up to N times while something is over the limit'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -l interval -x -d 'Wait SECONDS before each retry'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -l drop-caches -d 'Sync and drop the page cache, dentries and inodes before the command and before each retry, so that cached files do not count as leaks'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -s L -l ignore-lines -d 'Match by file, module and function only, for a baseline from another kernel'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -s f -l file -x -a '(__allocq_names files)' -d 'Match the whole path, its last components, a directory, FILE:LINE, or a glob of the whole path'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -s F -l function -x -a '(__allocq_names functions)' -d 'Match the function by name or glob'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -s m -l module -x -a '(__allocq_names modules)' -d 'Match the module by name or glob'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -l builtin -d 'Only built-in code, not modules'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -s l -l line -x -d 'Match a line number or a range'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -l min-size -x -d 'At least SIZE bytes'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -l max-size -x -d 'At most SIZE bytes'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -l min-calls -x -d 'At least N live allocations'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -l max-calls -x -d 'At most N live allocations'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -l inaccurate -d 'Only counters that the kernel flags inaccurate'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -l accurate -d 'Only counters not flagged inaccurate'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -l underflowed -d 'Only counters below zero, which sums leave out'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -s e -l regexp -x -d 'Search FILE:LINE [MODULE] func:FUNCTION for REGEX'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -s i -l ignore-case -d 'Ignore case in --regexp'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -s v -l invert-match -d 'Keep what no --regexp matches'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -s x -l exclude -x -a '(__allocq_names files)' -d 'Leave out files that match PATH, which is read as --file reads it'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -s o -l format -x -a 'table json junit tap' -d 'Report format'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -l report -r -F -d 'Write the report to FILE instead of standard output, which the command shares'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -s q -l quiet -d 'Print no report on standard output'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -l header -d 'Print the header line of the table'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -l no-header -d 'Print the header line of the table'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -l bytes -d 'Show plain byte counts in tables instead of 1.5M'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -l color -x -a 'auto always never' -d 'Colorize tables'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -l source -r -F -d 'Compare --baseline with a saved listing instead of the running kernel'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -l interface -x -a 'auto ioctl text' -d 'How to ask the running kernel'
complete -c allocq -n '__allocq_command check; and not __allocq_words --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface >/dev/null' -s h -l help -d 'Show this message and exit'
complete -c allocq -n '__allocq_command check' -a '(__allocq_run --max-growth --repeat --baseline --retries --interval -f --file -F --function -m --module -l --line --min-size --max-size --min-calls --max-calls -e --regexp -x --exclude -o --format --report --color --source --interface)'

complete -c allocq -n '__allocq_command stacks' -s f -l file -x -a '(__allocq_names files)' -d 'Match the whole path, its last components, a directory, FILE:LINE, or a glob of the whole path'
complete -c allocq -n '__allocq_command stacks' -s F -l function -x -a '(__allocq_names functions)' -d 'Match the function by name or glob'
complete -c allocq -n '__allocq_command stacks' -s m -l module -x -a '(__allocq_names modules)' -d 'Match the module by name or glob'
complete -c allocq -n '__allocq_command stacks' -s l -l line -x -d 'Match a line number or a range'
complete -c allocq -n '__allocq_command stacks' -l for -x -d 'Watch for TIME'
complete -c allocq -n '__allocq_command stacks' -l live -d 'Pair frees with allocations, and show what was allocated in that time and not freed in it'
complete -c allocq -n '__allocq_command stacks' -l map-size -x -d 'Let the kernel remember N allocations for --live, and an eighth of that, at least 2048, of stacks'
complete -c allocq -n '__allocq_command stacks' -l max-rate -x -d 'Stop when more than N allocations a second are counted'
complete -c allocq -n '__allocq_command stacks' -s n -l limit -x -d 'Show only the N largest stacks'
complete -c allocq -n '__allocq_command stacks' -s o -l format -x -a 'table folded pprof speedscope json' -d 'Output format'
complete -c allocq -n '__allocq_command stacks' -l header -d 'Print the header line'
complete -c allocq -n '__allocq_command stacks' -l no-header -d 'Print the header line'
complete -c allocq -n '__allocq_command stacks' -l bytes -d 'Show plain byte counts in tables instead of 1.5M'
complete -c allocq -n '__allocq_command stacks' -l color -x -a 'auto always never' -d 'Colorize tables'
complete -c allocq -n '__allocq_command stacks' -l output -r -F -d 'Write the answer to FILE, whole or not at all, instead of standard output'
complete -c allocq -n '__allocq_command stacks' -l force -d 'Replace the FILE of --output if it exists'
complete -c allocq -n '__allocq_command stacks' -s h -l help -d 'Show this message and exit'
complete -c allocq -n '__allocq_command stacks' -F -a '(__allocq_names words)'

complete -c allocq -n '__allocq_command doctor' -s o -l format -x -a 'table json' -d 'Output format'
complete -c allocq -n '__allocq_command doctor' -l color -x -a 'auto always never' -d 'Colorize the report'
complete -c allocq -n '__allocq_command doctor' -s h -l help -d 'Show this message and exit'

complete -c allocq -n '__allocq_command profiling' -l persist -d 'Set it at each boot too'
complete -c allocq -n '__allocq_command profiling' -l dry-run -d 'Say what on or off would do, and change nothing'
complete -c allocq -n '__allocq_command profiling' -s o -l format -x -a 'table json' -d 'Output format of status'
complete -c allocq -n '__allocq_command profiling' -l color -x -a 'auto always never' -d 'Colorize tables'
complete -c allocq -n '__allocq_command profiling' -s h -l help -d 'Show this message and exit'
complete -c allocq -n '__allocq_command profiling' -F

complete -c allocq -n '__allocq_command verify' -l load-module -x -d 'Load a module, check, and unload it'
complete -c allocq -n '__allocq_command verify' -l rounds -x -d 'Try N random filters, and at most N values of each field'
complete -c allocq -n '__allocq_command verify' -l seed -x -d 'Seed the random choices with N'
complete -c allocq -n '__allocq_command verify' -s o -l format -x -a 'tap json' -d 'Output format'
complete -c allocq -n '__allocq_command verify' -s h -l help -d 'Show this message and exit'

complete -c allocq -n '__allocq_command bench' -s n -l runs -x -d 'Run each method N times'
complete -c allocq -n '__allocq_command bench' -l drop-caches -d 'Drop the page cache, dentries and inodes of this machine before each run, as for the published figures'
complete -c allocq -n '__allocq_command bench' -l warm -d 'Keep this machine\'s caches'
complete -c allocq -n '__allocq_command bench' -s S -l scenario -x -a 'file file-size size' -d 'Time only this question'
complete -c allocq -n '__allocq_command bench' -s f -l file -x -a '(__allocq_names files)' -d 'The file to ask for'
complete -c allocq -n '__allocq_command bench' -l min-size -x -d 'The minimum size to ask for'
complete -c allocq -n '__allocq_command bench' -s o -l format -x -a 'table json' -d 'Output format'
complete -c allocq -n '__allocq_command bench' -s h -l help -d 'Show this message and exit'
