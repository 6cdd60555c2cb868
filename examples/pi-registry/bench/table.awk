# The medians of run.sh's lines (quantity, server, value, digits, more|less) as a table in Markdown, with the ratios of the first
# server to the best of the other registries and to nginx.

function median(key,    n, i, j, t, v) {
    n = split(values[key], v, " ")
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && v[j - 1] + 0 > v[j] + 0; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
    return v[int((n + 1) / 2)]
}

function ratio(ours, theirs) { return theirs + 0 > 0 ? sprintf("%.2f", ours / theirs) : "" }

BEGIN { count = split(servers, name, " ") }

{
    if (!($1 in digits)) quantity[++rows] = $1
    digits[$1] = $4
    better[$1] = $5
    values[$1, $2] = values[$1, $2] " " $3
}

END {
    line = "| |"
    rule = "|---|"
    for (i = 1; i <= count; i++) {
        shown = name[i]
        sub(/=.*/, "", shown)
        line = line " " shown " |"
        rule = rule "---:|"
    }
    print line " to the best registry | to nginx |"
    print rule "---:|---:|"
    for (row = 1; row <= rows; row++) {
        q = quantity[row]
        line = "| " q " |"
        best = ""
        for (i = 1; i <= count; i++) {
            if (!((q, name[i]) in values)) {
                line = line " |"
                continue
            }
            value = median(q SUBSEP name[i])
            line = line sprintf(" %." digits[q] "f |", value)
            if (i == 1 || name[i] !~ /^(docker-registry|registry-v3)$/) continue
            if (best == "" || (better[q] == "more" ? value > best : value < best)) best = value
        }
        ours = median(q SUBSEP name[1])
        line = line " " (best == "" ? "" : ratio(ours, best)) " |"
        print line " " ((q, "nginx") in values ? ratio(ours, median(q SUBSEP "nginx")) : "") " |"
    }
}
