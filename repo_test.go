// Package orchestrix_test guards the repository as a whole: rules that no
// compiler knows and that a reader relies on. Every package says what it is
// for, every exported name is documented, imports point one way, every
// dependency has its reason, links in the documentation lead somewhere, and
// nothing is left for later.
//
// It reads the sources and nothing else, so that it runs in a second and
// without the network. What is wrong within one function is for the linters.
package orchestrix_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/orchestrix/orchestrix"

// goPackage is the sources of one directory, without its tests.
type goPackage struct {
	dir   string // "." or slash-separated
	name  string
	files map[string]*ast.File // by path
}

// mayImport says which packages of ours a package may import; the longest entry
// that is the package or a parent of it counts. "x/..." is x and all below it.
// .golangci.yml says the same to the linter.
var mayImport = map[string][]string{
	"job":               {},
	"scheduler":         {"job"},
	"webhook":           {},
	"webhook/push":      {"webhook", "job"},
	"store/engine":      {"store/engine", "store/engine/model"}, // bytes only: no job
	"store":             {"store/engine", "job"},
	"store/sealed":      {"store"},
	"dispatcher":        {"scheduler", "store", "store/engine", "webhook/...", "job"}, // the contract, never an engine
	"observability":     {"store/engine", "job"},                                      // the contract, which it meters
	"cluster":           {"store", "job"},
	"control":           {"cluster", "dispatcher", "scheduler", "store", "store/engine", "webhook/...", "job", "observability"},
	"api/front":         {}, // HTTP only
	"api":               {"api/...", "control", "webhook", "job", "observability"},
	"client":            {"webhook", "job"},
	"worker":            {"webhook", "job"},
	"worker/workertest": {"worker", "webhook", "job"},
	"worker/workerotel": {"worker"},
	"worker/seenpg":     {"worker"},
	"worker/seenredis":  {"worker"},
	"app":               {"api/...", "cluster", "control", "dispatcher", "observability", "store/...", "webhook/...", "job"},
	"cmd":               {"..."},
	"test":              {},
	"test/history":      {"job"}, // what is seen from outside
	"tools":             {},
	"tools/peers":       {"webhook"}, // what they measure signs as we do
	".":                 {},
}

// onlyStandardLibrary may be copied or imported by a worker at no cost.
var onlyStandardLibrary = []string{"webhook", "job", "worker", "worker/workertest"}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		doc := packageComment(p)
		begin := "Package " + p.name + " "
		if p.name == "main" {
			begin = "Command "
		}
		if !strings.HasPrefix(doc, begin) {
			t.Errorf("%s: want a package comment that begins with %q, got %.40q", p.dir, begin, doc)
		} else if lines := strings.Count(doc, "\n"); lines < 3 || lines > 60 {
			t.Errorf("%s: the package comment has %d lines; say in 5 to 15 what it is for, what it promises and what it does not do", p.dir, lines)
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		for name, file := range p.files {
			for _, missing := range undocumented(file) {
				t.Errorf("%s: %s is exported and has no comment", name, missing)
			}
		}
	}
}

func TestImportsPointOneWay(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		allowed := allowedImports(p.dir)
		if allowed == nil {
			t.Errorf("%s: no rule says what it may import: add one to mayImport", p.dir)
		}
		for name, file := range p.files {
			for _, spec := range file.Imports {
				imported := strings.Trim(spec.Path.Value, `"`)
				ours, isOurs := strings.CutPrefix(imported, module+"/")
				if isOurs && !matches(ours, allowed) {
					t.Errorf("%s imports %s; %s may import %v", name, ours, p.dir, allowed)
				}
				if !isOurs && slices.Contains(onlyStandardLibrary, p.dir) && strings.Contains(strings.Split(imported, "/")[0], ".") {
					t.Errorf("%s imports %s; %s has the standard library only", name, imported, p.dir)
				}
			}
		}
	}
}

func TestEveryDependencyHasItsReason(t *testing.T) {
	t.Parallel()
	const page = "docs/design/dependencies.md"
	direct, all := requirements(t)
	var listed []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`/]+\\.[^`]+)` \\|").FindAllStringSubmatch(read(t, page), -1) {
		listed = append(listed, m[1])
	}
	for _, m := range direct {
		if !slices.Contains(listed, m) {
			t.Errorf("%s has no line in %s", m, page)
		}
	}
	for _, m := range listed {
		if !slices.Contains(all, m) {
			t.Errorf("%s has a line in %s, but is not in go.mod", m, page)
		}
	}
}

// Work that is left for later is an issue, not a comment.
func TestNothingIsLeftForLater(t *testing.T) {
	t.Parallel()
	marks := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X|HA` + `CK)\b`)
	for _, name := range texts(t) {
		text := read(t, name)
		if strings.Contains(text, "\x00") {
			continue // a program that somebody built here
		}
		for i, line := range strings.Split(text, "\n") {
			if mark := marks.FindString(line); mark != "" {
				t.Errorf("%s:%d: %s", name, i+1, mark)
			}
		}
	}
}

// A test that waits for the real clock is slow when it passes and wrong when the
// machine is busy: only in a synctest bubble is sleeping exact.
func TestTestsDoNotSleep(t *testing.T) {
	t.Parallel()
	sleep := "time." + "Sleep("
	for _, name := range texts(t) {
		if text := read(t, name); strings.HasSuffix(name, "_test.go") && strings.Contains(text, sleep) && !strings.Contains(text, `"testing/synctest"`) {
			t.Errorf("%s sleeps outside testing/synctest", name)
		}
	}
}

func TestLinksInTheDocumentationLeadSomewhere(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`)
	for _, name := range texts(t) {
		if path.Ext(name) != ".md" {
			continue
		}
		for _, m := range link.FindAllStringSubmatch(read(t, name), -1) {
			if strings.Contains(m[1], ":") {
				continue // another site
			}
			if _, err := os.Stat(path.Join(path.Dir(name), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
			}
		}
	}
}

// The guard is worth no more than its own helpers.
func TestGuardFindsWhatItIsFor(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "x.go", `package x
type A struct{}
func (A) B() {}
func (a *A) c() {}
func D() {}
// E is documented.
func E() {}
var F, g = 1, 2
// A group's comment is enough.
const (
	H = 1
	I = 2
)
var (
	J = 1 // so is a line's
	K = 2
)
type l struct{}
func (l) M() {}
type G[T any] struct{}
func (g *G[T]) N() {}
`, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(undocumented(file)), "[A B D F K G N]"; got != want {
		t.Errorf("undocumented = %s, want %s", got, want)
	}
	for dir, want := range map[string]bool{"store": true, "store/engine": true, "store/engine/pebble": false, "job": true, "webhook/push": true, "webhook": true, "control": false} {
		if got := matches(dir, allowedImports("dispatcher")); got != want {
			t.Errorf("dispatcher may import %s: %t, want %t", dir, got, want)
		}
	}
	if allowedImports("unheard/of") != nil {
		t.Error("a package without a rule has one")
	}
}

func packageComment(p goPackage) string {
	for _, f := range p.files {
		if f.Doc != nil {
			return f.Doc.Text()
		}
	}
	return ""
}

// undocumented returns the exported names of a file that have no comment.
func undocumented(file *ast.File) []string {
	var names []string
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Doc == nil && d.Name.IsExported() && hasExportedReceiver(d) {
				names = append(names, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				names = append(names, undocumentedIn(d, spec)...)
			}
		}
	}
	return names
}

func undocumentedIn(d *ast.GenDecl, spec ast.Spec) []string {
	var names []string
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
			names = append(names, s.Name.Name)
		}
	case *ast.ValueSpec:
		if d.Doc != nil || s.Doc != nil || s.Comment != nil {
			return nil
		}
		for _, n := range s.Names {
			if n.IsExported() {
				names = append(names, n.Name)
			}
		}
	}
	return names
}

func hasExportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	exported := false
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && !exported {
			exported = id.IsExported()
			return false
		}
		return true
	})
	return exported
}

// allowedImports returns the rule for a directory, nil where there is none.
func allowedImports(dir string) []string {
	for d := dir; ; d = path.Dir(d) {
		if allowed, ok := mayImport[d]; ok {
			if d == "." && dir != "." {
				return nil
			}
			return allowed
		}
	}
}

func matches(dir string, allowed []string) bool {
	return slices.ContainsFunc(allowed, func(pattern string) bool {
		parent, all := strings.CutSuffix(pattern, "...")
		if !all {
			return dir == pattern
		}
		return strings.HasPrefix(dir+"/", parent)
	})
}

// requirements returns the modules that go.mod requires directly, and all.
func requirements(t *testing.T) (direct, all []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^\s+(\S+) v\S+( // indirect)?$`).FindAllStringSubmatch(read(t, "go.mod"), -1) {
		all = append(all, m[1])
		if m[2] == "" {
			direct = append(direct, m[1])
		}
	}
	if len(direct) == 0 {
		t.Fatal("go.mod requires nothing: it was not understood")
	}
	return direct, all
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	byDir := map[string]goPackage{}
	for _, name := range texts(t) {
		if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		dir := path.Dir(name)
		if byDir[dir].files == nil {
			byDir[dir] = goPackage{dir, file.Name.Name, map[string]*ast.File{}}
		}
		byDir[dir].files[name] = file
	}
	list := make([]goPackage, 0, len(byDir))
	for _, p := range byDir {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b goPackage) int { return strings.Compare(a.dir, b.dir) })
	return list
}

// texts returns the paths of all files that people write: no generated sums, no
// binaries, nothing in hidden or ignored directories but .ci.
func texts(t *testing.T) []string {
	t.Helper()
	written := []string{".go", ".md", ".yml", ".yaml", ".sh", ".mod", ""}
	var names []string
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (skippedDir(name) || name == "bin" || name == "data" || d.Name() == "testdata"):
			return fs.SkipDir
		case d.Type().IsRegular() && slices.Contains(written, path.Ext(name)) && name != "LICENSE":
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func skippedDir(name string) bool {
	return strings.HasPrefix(path.Base(name), ".") && name != "." && name != ".ci"
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
