package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/client"
)

// TestDevImageWithoutRoot: an app from an image runs for a developer who is not root,
// without a way out, and the banner has each line of the policy that is not enforced.
func TestDevImageWithoutRoot(t *testing.T) {
	file := imagePolicy(t, "egress: {allow: [{host: a.example, port: 443}]}\nfiles: {tmp: 1MiB}\nlimits: {memory: 1GiB, pids: 100, cpu: 1}\n")
	cmd := withoutRoot(t, file)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var d running
	if err := json.NewDecoder(out).Decode(&d.document); err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	stop := func() {
		cmd.Process.Signal(syscall.SIGTERM)
		go io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, stderr.String())
		}
	}
	defer stop()
	less := fmt.Sprint(d.document["not_enforced"])
	for _, line := range []string{"app.user", "limits.memory", "limits.pids", "limits.cpu"} {
		if !strings.Contains(less, line) {
			t.Errorf("not enforced: %s, expected %s", less, line)
		}
	}
	text, err := os.ReadFile(d.text(t, "trust"))
	if err != nil {
		t.Fatal(err)
	}
	trust, err := appraise.ParseTrust(text)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(trust)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for path, want := range map[string]string{
		"/here": "hello anyone", "/lookup?with=a.example": "REACHED: 198.18.", "/lookup?with=b.example": "no such host", "/dial?with=tcp+1.1.1.1:443": "network is unreachable", "/fill?with=/elsewhere": "read-only file system", "/fill?with=/tmp/x": "no space",
	} {
		resp, err := c.HTTP().Get(d.text(t, "url") + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s, %v, expected %s", path, body, err, want)
		}
	}
}

// withoutRoot is `blindbox dev` of a policy, by a user who is not root.
func withoutRoot(t *testing.T, file string) *exec.Cmd {
	t.Helper()
	const nobody = 65534
	dir := filepath.Dir(file)
	program := filepath.Join(dir, "blindbox")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	// Nobody else may look into the folder that this program is in.
	if out, err := exec.Command("cp", self, program).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, nobody, nobody)
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "dev", "-o", "json", "--listen", "127.0.0.1:0", "-f", file)
	cmd.Env = []string{"BLINDBOX_HOME=" + filepath.Join(dir, "home"), "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return cmd
}

// TestKilledWithoutRoot: whichever of the two processes of dev without root is killed,
// the other one ends, and so does the app.
func TestKilledWithoutRoot(t *testing.T) {
	for _, who := range []string{"the first", "root of the namespace"} {
		t.Run(who, func(t *testing.T) {
			cmd := withoutRoot(t, imagePolicy(t, ""))
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var document map[string]any
			if err := json.NewDecoder(out).Decode(&document); err != nil {
				cmd.Process.Kill()
				t.Fatalf("%v: %v\n%s", err, cmd.Wait(), stderr.String())
			}
			all := below(t, cmd.Process.Pid)
			if len(all) < 3 {
				t.Errorf("processes %v, expected root of the namespace, the runtime and the app", all)
			}
			victim := cmd.Process.Pid
			if who != "the first" {
				victim = all[0]
			}
			if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			// All of them have it open.
			if _, err := io.Copy(io.Discard, out); err != nil {
				t.Error(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Error("dev ended as if nothing had happened")
			}
			for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
				all = slices.DeleteFunc(all, func(pid int) bool { return syscall.Kill(pid, 0) != nil })
				if len(all) == 0 {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("processes %v outlive dev", all)
				}
			}
		})
	}
}

// below are the processes that a process started, and those started: its children
// first.
func below(t *testing.T, pid int) (all []int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, _ := os.ReadFile(file)
		for _, field := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, child)
		}
	}
	for _, child := range slices.Clone(all) {
		all = append(all, below(t, child)...)
	}
	return all
}
