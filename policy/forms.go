package policy

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/blindbox/blindbox/internal/batches"
)

// form is what a value may look like. Either it has words, or a pattern, or
// bounds.
type form struct {
	words   []string
	pattern *regexp.Regexp
	// min and max bound a number, or a duration in nanoseconds.
	min, max int64
	// number says that a plain number fits too, as it fits a pattern in quotes.
	number bool
	// expected says it in words, behind "expected".
	expected string
}

// fits reports whether a text is of the form.
func (f *form) fits(s string) bool {
	if f.words != nil {
		return slices.Contains(f.words, s)
	}
	return f.pattern.MatchString(s)
}

const (
	absolutePath = "an absolute path without '.', '..' or '//'"
	nameForm     = "1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit"
	digestForm   = `"sha256:" and 64 lower-case hex digits`
	sizeForm     = "a size such as 512KiB, 1MiB or 2GiB, at most 1024GiB"
)

const (
	maxConcurrent = 10000
	minDuration   = time.Second
	maxDuration   = 24 * time.Hour
)

// forms are the rows that the tags of document name. A pattern says what can be
// said in a pattern; what cannot is checked behind it, see builder.
func forms() map[string]form {
	return map[string]form{
		"version":     {min: 1, max: 1, expected: "1, the only version there is"},
		"name":        {pattern: namePattern, expected: nameForm},
		"argument":    {pattern: argumentPattern, expected: "text without a zero character"},
		"env":         {pattern: envPattern, expected: "a name of letters, digits and '_'"},
		"file":        {pattern: filePattern, expected: absolutePath},
		"image":       {pattern: imagePattern, expected: `"oci:PATH", or a registry reference with the registry's name such as ghcr.io/acme/whisper:2.4.1`},
		"digest":      {pattern: digestPattern, expected: digestForm},
		"listen":      {pattern: listenPattern, number: true, expected: `a port, "127.0.0.1:PORT" or "unix:/path": what an app listens on elsewhere can be reached around the box`},
		"user":        {pattern: userPattern, expected: "UID:GID, two numbers"},
		"service":     {pattern: servicePattern, expected: "1 to 63 lower-case letters, digits or '-', the first and last a letter or digit"},
		"isolation":   {words: []string{string(IsolationRunc), string(IsolationGVisor)}},
		"capability":  {words: capabilities(), expected: "a capability of capabilities(7), such as CAP_NET_BIND_SERVICE"},
		"action":      {words: words(Actions())},
		"deed":        {words: words(slices.DeleteFunc(Actions(), func(a Action) bool { return a == Observe }))},
		"method":      {pattern: methodPattern, expected: "an HTTP method in capital letters, and not CONNECT or TRACE"},
		"path":        {pattern: pathPattern, expected: "a path such as /v1/models, or a prefix such as /v1/*"},
		"label":       {pattern: labelPattern, expected: "1 to 256 characters on one line"},
		"url":         {pattern: urlPattern, expected: "an https URL without query, such as https://login.hospital.example"},
		"spiffe":      {pattern: spiffePattern, expected: "a SPIFFE id such as spiffe://clinic.example/app"},
		"measurement": {pattern: measurementPattern, expected: "64, 96 or 128 lower-case hex digits"},
		"time":        {pattern: timePattern, number: true, expected: "a time in UTC such as 2027-01-01T00:00:00Z"},
		"budget":      {pattern: budgetPattern, expected: "a number and a time, such as 10/s, 60/min, 1000/h or 10000/day"},
		"bytes":       {pattern: bytesPattern, expected: "a size and a time, such as 10MiB/s or 1GiB/day"},
		"host":        {pattern: hostPattern, expected: "a name in lower case, *. and a name, or an IP address"},
		"port":        {min: 1, max: 65535},
		"tls":         {words: []string{string(TLSAny), string(TLSPass), string(TLSVerify)}},
		"connections": {min: 1, max: 10000},
		"size":        {pattern: sizePattern, expected: sizeForm},
		"pids":        {min: 1, max: 1 << 22},
		"open_files":  {min: 16, max: 1 << 20},
		"cpu":         {pattern: cpuPattern, number: true, expected: "a number of processors such as 2 or 0.5, at most 999"},
		"concurrent":  {min: 1, max: maxConcurrent},
		"model":       {pattern: modelPattern, expected: "a model's name, or CALLER~NAME for one that a caller brings"},
		"models":      {min: 1, max: 1_000_000},
		"loads":       {min: 1, max: 1000},
		"rows":        {min: batches.MinRows, max: batches.MaxRows},
		"wait":        {min: 0, max: int64(batches.MaxWait)},
		"duration":    {min: int64(minDuration), max: int64(maxDuration)},
		"logs":        {pattern: logsPattern, expected: `"none", "counters", or "sealed:" and an age recipient (age1...)`},
		"audit":       {words: []string{string(AuditBox), string(AuditHost)}},
		"operation":   {words: words(Operations())},
		"platform":    {words: Platforms()},
	}
}

var (
	namePattern        = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	modelPattern       = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]{0,63}~)?[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	servicePattern     = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	argumentPattern    = regexp.MustCompile(`^[^\x00]*$`)
	envPattern         = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	filePattern        = regexp.MustCompile(`^/[^\n\x00]*$`)
	imagePattern       = regexp.MustCompile(`^(oci:[^\x00-\x20]+|[a-z0-9][a-z0-9.-]*(\.[a-z0-9-]+|:[0-9]{1,5})(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)+(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?)$`)
	digestPattern      = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	listenPattern      = regexp.MustCompile(`^((127\.0\.0\.1:)?[1-9][0-9]{0,4}|unix:/[^\n\x00]{1,106})$`)
	userPattern        = regexp.MustCompile(`^(0|[1-9][0-9]{0,9}):(0|[1-9][0-9]{0,9})$`)
	methodPattern      = regexp.MustCompile(`^[A-Z][A-Z-]{0,19}$`)
	pathPattern        = regexp.MustCompile(`^/[^\s%?#]*$`)
	labelPattern       = regexp.MustCompile(`^[^\n\x00]{1,256}$`)
	urlPattern         = regexp.MustCompile(`^https://[a-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$`)
	spiffePattern      = regexp.MustCompile(`^spiffe://[a-z0-9._-]{1,255}(/[A-Za-z0-9._-]+)+$`)
	measurementPattern = regexp.MustCompile(`^([0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$`)
	timePattern        = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$`)
	budgetPattern      = regexp.MustCompile(`^([1-9][0-9]{0,8})/(s|min|h|day)$`)
	bytesPattern       = regexp.MustCompile(`^([1-9][0-9]{0,12}(?:B|KiB|MiB|GiB))/(s|min|h|day)$`)
	hostPattern        = regexp.MustCompile(`^((\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|[0-9a-f:]*:[0-9a-f:.]*)$`)
	sizePattern        = regexp.MustCompile(`^([1-9][0-9]{0,12})(B|KiB|MiB|GiB)$`)
	cpuPattern         = regexp.MustCompile(`^(0|[1-9][0-9]{0,2})(\.[0-9]{1,3})?$`)
	logsPattern        = regexp.MustCompile(`^(none|counters|sealed:age1[a-z0-9]{8,})$`)
)

// words writes a list of named strings as strings.
func words[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, w := range list {
		out[i] = string(w)
	}
	return out
}

// Actions returns every action there is.
func Actions() []Action { return []Action{Query, Upload, Delete, List, Observe} }

// Operations returns everything that an operator can be allowed.
func Operations() []Operation { return []Operation{OpRestart, OpExec, OpShell, OpDebug} }

// Platforms returns the kinds of hardware that a policy can name, by the names
// that attest.Kind has.
func Platforms() []string {
	return []string{"sev-snp", "tdx", "sgx", "nitro", "tpm", "azure-sev-snp", "azure-tdx", "composite", "sim-sev-snp"}
}

// capabilities are those of capabilities(7), Linux 6.12.
func capabilities() []string {
	names := strings.Fields(`AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN
		DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN
		MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP
		SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO
		SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM`)
	for i, n := range names {
		names[i] = "CAP_" + n
	}
	return names
}

// oneOf says a list of words behind "expected".
func oneOf(list []string) string {
	quoted := make([]string, len(list))
	for i, w := range list {
		quoted[i] = strconv.Quote(w)
	}
	if len(quoted) < 2 {
		return strings.Join(quoted, "")
	}
	return strings.Join(quoted[:len(quoted)-1], ", ") + " or " + quoted[len(quoted)-1]
}
