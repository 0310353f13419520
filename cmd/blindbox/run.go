package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/internal/catalogue"
)

// Exit codes. The rest are the stages of the catalogue.
const (
	exitOK      = 0
	exitUsage   = int(catalogue.Usage)
	exitRefused = int(catalogue.Refused)
	exitPartial = int(catalogue.Partial)
)

// session is everything a command touches outside its arguments, so that tests
// can run one in memory.
type session struct {
	args           []string
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(string) string
	now            func() time.Time

	format string // text or json
}

func (s *session) json() bool { return s.format == "json" }

// printf writes a line of human output. It goes nowhere in JSON mode, where
// standard output holds one document and nothing else.
func (s *session) printf(format string, args ...any) {
	if !s.json() {
		fmt.Fprintf(s.stdout, format, args...)
	}
}

// note writes a line about progress, to standard error in either mode.
func (s *session) note(format string, args ...any) {
	fmt.Fprintf(s.stderr, format, args...)
}

// terminal reports whether people are watching standard error.
func (s *session) terminal() bool {
	f, ok := s.stderr.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// home returns the directory where this user's simulated root is kept.
func (s *session) home() (string, error) {
	if dir := s.env("BLINDBOX_HOME"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fail(catalogue.CodeSimRoot, "home", err.Error(), "BLINDBOX_HOME or a home directory")
	}
	return filepath.Join(dir, "blindbox"), nil
}

// inTurn lets one write to w at a time: an app's output is copied by a goroutine of
// its own, and notes come beside it. A file takes each write whole by itself.
func inTurn(w io.Writer) io.Writer {
	if _, ok := w.(*os.File); ok {
		return w
	}
	return &turns{to: w}
}

type turns struct {
	mu sync.Mutex
	to io.Writer
}

func (t *turns) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.to.Write(p)
}

// run runs one command line and returns the exit code. Whatever goes wrong in
// it, the user sees a number from the catalogue and never a stack.
func run(ctx context.Context, s session) (code int) {
	defer func() {
		if r := recover(); r != nil {
			code = s.report(fail(catalogue.CodeInternal, "internal", fmt.Sprint(r), ""))
		}
	}()
	s.stderr = inTurn(s.stderr)
	root := newRoot(&s)
	root.SetArgs(s.args)
	root.SetIn(s.stdin)
	root.SetOut(s.stdout)
	root.SetErr(s.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	return s.report(withHelp(cmd, err))
}

// withHelp lets a usage error that has no better advice name the help of the
// command that it comes from.
func withHelp(cmd *cobra.Command, err error) error {
	var r *refusal
	plain, _ := catalogue.ByCode(catalogue.CodeUsage)
	if errors.As(err, &r) && r.reason == catalogue.CodeUsage && r.entry.Fix == plain.Fix {
		r.entry.Fix = helpOf(cmd)
	}
	return err
}

func helpOf(cmd *cobra.Command) string {
	return "`" + cmd.CommandPath() + " --help` shows what it takes."
}

// helpWidth is how many columns a line of a help text has at most.
const helpWidth = 100

func newRoot(s *session) *cobra.Command {
	root := &cobra.Command{
		Use:   "blindbox",
		Short: "Talk to a box only after its hardware has proven what runs in it",
		Long: `blindbox verifies what runs inside a confidential computer ("a box") before
anything is sent to it, and runs simulated boxes on this machine.

Start with:  blindbox demo      no hardware and no network needed`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		Args:              cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if s.format != "text" && s.format != "json" {
				seen := s.format
				s.format = "text"
				return usage("output format %q, expected text or json", seen)
			}
			return nil
		},
	}
	root.PersistentFlags().StringVarP(&s.format, "output", "o", "text", "text or json")
	s.format = wantedFormat(s.args)
	b := build()
	root.Version = b.Version + " " + b.Go + " " + b.Platform
	root.SetVersionTemplate("blindbox {{.Version}}\n")
	wide := fmt.Sprintf(".FlagUsagesWrapped %d", helpWidth)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", wide))
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageOf(cmd, "%s", err) })
	root.AddCommand(newPin(s), newImage(s), newCompose(s), newOperate(s))
	root.AddCommand(
		newDemo(s), newDev(s), newVerify(s), newInspect(s), newModel(s), newConnect(s), newCurl(s), newTrust(s),
		newPolicy(s), newEndorsements(s), newReceipt(s), newAudit(s), newLogs(s),
		newExplain(s), newVersion(s),
	)
	return root
}

// wantedFormat looks for -o json before the flags are parsed, so that an error
// in the flags is reported in the format that was asked for.
func wantedFormat(args []string) string {
	if len(args) > 0 && args[0] == "curl" {
		return "text" // -o is curl's own there
	}
	for i, a := range args {
		switch {
		case a == "--":
			return "text"
		case a == "-ojson" || a == "-o=json" || a == "--output=json":
			return "json"
		case (a == "-o" || a == "--output") && i+1 < len(args) && args[i+1] == "json":
			return "json"
		}
	}
	return "text"
}

// exactly refuses any other number of arguments, in words.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			plural := "s"
			if len(args) == 1 {
				plural = ""
			}
			return usageOf(cmd, "%s needs %s, got %d argument%s", strings.TrimPrefix(cmd.CommandPath(), "blindbox "), what, len(args), plural)
		}
		return nil
	}
}

// atMost refuses more arguments.
func atMost(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return exactly(n, "at most "+what)(cmd, args)
		}
		return nil
	}
}

// usageOf is usage for a command that is known: the fix names it.
func usageOf(cmd *cobra.Command, format string, args ...any) *refusal {
	r := usage(format, args...)
	r.entry.Fix = helpOf(cmd)
	return r
}

// unknownCommand refuses a word below cmd that is no command, and names the
// one that may have been meant.
func unknownCommand(cmd *cobra.Command, word string) *refusal {
	r := usageOf(cmd, "unknown command %q", strings.TrimSpace(strings.TrimPrefix(cmd.CommandPath(), "blindbox")+" "+word))
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(word); len(near) > 0 {
		r.expected = strings.Join(near, " or ")
	}
	return r
}
