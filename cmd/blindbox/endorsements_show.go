package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/endorse"
)

func newEndorsementsShow(s *session) *cobra.Command {
	var dir string
	var metrics bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show what is in the cache, what ends when, and which TCB levels will fall",
		Long: `Show every object in the cache, the one that ends next first, and for Intel's
platforms each TCB level with its status now and, if "fetch --early" was used,
the status that it will have when Intel's early set becomes the standard one.
Dates are read from the objects; they were verified when they were fetched.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return s.endorsementsShow(dir, metrics) },
	}
	addCacheFlag(cmd, &dir)
	cmd.Flags().BoolVar(&metrics, "metrics", false, "print Prometheus metrics")
	return cmd
}

func (s *session) endorsementsShow(dir string, metrics bool) error {
	if metrics && s.json() {
		return usage("--metrics with -o json, expected one of them")
	}
	d, err := s.openCache(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	f, err := endorse.Look(d, s.now())
	switch {
	case err != nil:
		return err
	case s.json():
		s.writeJSON(f)
	case metrics:
		_, err = io.WriteString(s.stdout, f.Metrics())
	default:
		s.printForecast(f)
	}
	return err
}

func (s *session) printForecast(f endorse.Forecast) {
	if len(f.Items) == 0 {
		s.printf("the cache is empty; `blindbox endorsements fetch` fills it\n")
		return
	}
	for _, it := range f.Items {
		s.printf("  %-8s %-12s %s%s\n", it.State, ends(it.Until, f.At), oneLine(it.What), numbered(it.Number))
	}
	for _, l := range f.Levels {
		s.printf("  tcb      %-12s %s %s%s\n", oneLine(l.Date), oneLine(l.Platform), oneLine(l.Status), falls(l))
	}
}

func numbered(n string) string {
	if n == "" {
		return ""
	}
	return ", number " + abridge(n)
}

// ends says when, for people: "in 29 days", "3 h ago".
func ends(end, at time.Time) string {
	if end.IsZero() {
		return "no end"
	}
	left := end.Sub(at)
	text, before := "", ""
	if left < 0 {
		left, before = -left, " ago"
	}
	switch {
	case left >= 48*time.Hour:
		text = fmt.Sprintf("%d days", int(left/(24*time.Hour)))
	default:
		text = fmt.Sprintf("%d h", int(left/time.Hour))
	}
	if before == "" {
		text = "in " + text
	}
	return text + before
}

// falls says what the level will be.
func falls(l endorse.ForecastLevel) string {
	switch {
	case l.NextNum == "":
		return ""
	case l.Next == "":
		return fmt.Sprintf("; not in Intel's early set (number %s)", l.NextNum)
	case l.Next != l.Status:
		return fmt.Sprintf("; will be %s with Intel's early set (number %s)", oneLine(l.Next), l.NextNum)
	}
	return ""
}
