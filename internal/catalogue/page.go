package catalogue

import (
	"fmt"
	"strings"
)

// Markdown returns the page of one entry.
func (e Entry) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s: %s\n\n", e.ID(), e.Title)
	fmt.Fprintf(&b, "| | |\n|---|---|\n| stage | %s |\n| exit code | %d |\n| reason codes | %s |\n\n", e.stageName(), int(e.Stage()), e.codeList())
	fmt.Fprintf(&b, "## Why it happens\n\n%s\n\n", e.Cause)
	fmt.Fprintf(&b, "## What was not done\n\n%s\n\n", e.NotDone)
	fmt.Fprintf(&b, "## What to do\n\n%s\n\n", e.Fix)
	fmt.Fprintf(&b, "## Example\n\n```\n%s\n```\n", e.Example)
	return b.String()
}

// Text returns the same for a terminal.
func (e Entry) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", e.ID(), e.Title)
	for _, part := range []struct{ name, text string }{
		{"why", e.Cause}, {"not done", e.NotDone}, {"fix", e.Fix},
	} {
		fmt.Fprintf(&b, "\n  %-9s %s\n", part.name, wrap(part.text, 78, "            "))
	}
	fmt.Fprintf(&b, "\n  stage     %s, exit code %d\n  codes     %s\n", e.stageName(), int(e.Stage()), strings.ReplaceAll(e.codeList(), "`", ""))
	return b.String()
}

// Index returns the table of contents, docs/errors/README.md.
func Index() string {
	var b strings.Builder
	b.WriteString(`# Error catalogue

Every refusal has a number, and every number a page. The first digit is the
stage at which the call ended:

| numbers | stage | exit code |
|---|---|---|
| BBX-1xx | the command line, a file, this machine | 1 |
| BBX-2xx | verification failed | 2 |
| BBX-3xx | evidence or endorsements could not be had | 3 |
| BBX-4xx, BBX-5xx | a verified box answered a request with an error | 1 |

Of a command that verifies, exit code 0 is VERIFIED and nothing else; 4, with
BBX-303, means that what was checked held but not everything could be checked.
` + "`blindbox explain BBX-203`" + ` prints a page
without a network. These pages are written by
` + "`go test ./internal/catalogue -update`" + ` from the table in internal/catalogue.

| number | meaning | reason codes |
|---|---|---|
`)
	for _, e := range All() {
		fmt.Fprintf(&b, "| [%s](%s.md) | %s | %s |\n", e.ID(), e.ID(), e.Title, e.codeList())
	}
	return b.String()
}

func (e Entry) codeList() string {
	names := make([]string, len(e.Codes))
	for i, c := range e.Codes {
		names[i] = "`" + string(c) + "`"
	}
	return strings.Join(names, ", ")
}

func (e Entry) stageName() string {
	switch {
	case e.Number >= 400:
		return "answer of a verified box"
	case e.Stage() == Refused:
		return "verification failed"
	case e.Stage() == Partial:
		return "verified in part"
	case e.Stage() == Unavailable:
		return "evidence or endorsements unavailable"
	default:
		return "command line, file or this machine"
	}
}

// wrap breaks text into lines of at most width bytes, every line but the first
// behind indent.
func wrap(text string, width int, indent string) string {
	var b strings.Builder
	col := len(indent)
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case col+1+len(word) > width:
			b.WriteString("\n" + indent)
			col = len(indent)
		default:
			b.WriteByte(' ')
			col++
		}
		b.WriteString(word)
		col += len(word)
	}
	return b.String()
}

// problem returns what a box's refusal looks like to an HTTP client.
func problem(status int, title string) string {
	return fmt.Sprintf("$ curl -s http://127.0.0.1:8642/\n{\"type\":\"about:blank\",\"title\":%q,\"status\":%d,\"detail\":\"...\",\"code\":\"BBX-%d\",\"fix\":\"...\"}", title, status, status)
}
