"""The page of `llarp play --web`: what its server shows, obeys and refuses, how it is started and stopped, and the page
in a real browser where there is one."""

from __future__ import annotations

import base64
import http.client
import io
import json
import os
import shutil
import signal
import socket
import sys
import threading

import numpy as np
import pytest
from doubles import make_policy
from PIL import Image
from toy_world import ToyWorld

pytest.importorskip("uvicorn", reason="the extra web is not installed")

import uvicorn

from llarp_cli.errors import UsageProblem
from llarp_cli.evaluation.advice import LearnedAdviser, PlannerAdviser
from llarp_cli.evaluation.sentences import own_episode
from llarp_cli.evaluation.session import Session
from llarp_cli.evaluation.video import CAMERAS
from llarp_cli.page.app import MAX_BODY, make_app
from llarp_cli.page.serve import Listening
from llarp_cli.page.state import TRAINING_HOMES
from llarp_cli.rearrangement.skills import SKILL_INDEX, SKILLS

WORLD = ToyWorld()
GO_SOFA, PICK_BALL = SKILL_INDEX["go_to", "sofa"], SKILL_INDEX["pick", "ball"]


class Page:
    """A page that is served in a thread.

    Attributes:
        url: where.
    """

    def __init__(self, session: Session, host: str = "127.0.0.1"):
        listening = Listening(host, 0)
        self.url = listening.url
        self._server = uvicorn.Server(
            uvicorn.Config(make_app(session, size=32, hosts=listening.hosts), log_config=None, lifespan="off")
        )
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening.socket]})
        self._thread.start()

    def ask(self, path: str, body: object = None, **headers: str) -> tuple[int, dict]:
        """The status and the answer; with a body it is a POST."""
        connection = http.client.HTTPConnection(self.url.split("/")[2], timeout=60)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
        connection.request("GET" if body is None else "POST", path, data, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        self.headers = answer.headers
        return answer.status, json.loads(text) if text[:1] == "{" else {"text": text}

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()


@pytest.fixture
def serve():
    pages: list[Page] = []

    def started(*arguments, home: str = "toy-1", **options) -> Page:
        pages.append(Page(Session(WORLD, own_episode(WORLD, "", home)[0], **options)))
        return pages[-1]

    yield started
    for page in pages:
        page.stop()


def test_by_hand_a_page_shows_the_home_and_obeys(serve):
    page = serve(seed=7)
    status, before = page.ask("/state")
    assert status == 200 and before["policy"] is None and before["home"] == "toy-1"
    assert (before["asked"], before["judged"], before["reached"], before["events"]) == ("", False, False, [])
    assert [skill["name"] for skill in before["skills"]] == [str(skill) for skill in SKILLS]
    for camera in CAMERAS:
        data = before["pictures"][camera].removeprefix("data:image/png;base64,")
        assert Image.open(io.BytesIO(base64.b64decode(data))).size == (32, 32)
    assert before["skills"][GO_SOFA]["why_not"] == "" and "the hand is empty" in str(before["skills"])

    _, after = page.ask("/use", {"skill": GO_SOFA})
    assert after["standing_at"] == ["sofa"] and after["pictures"] != before["pictures"]
    assert after["events"] == [
        {
            "number": 1,
            "skill": "go to the sofa",
            "probability": None,
            "reason": "",
            "reward": None,
            "reached": False,
        }
    ]
    assert page.ask("/undo", {})[1] == before
    page.ask("/use", {"skill": PICK_BALL})
    assert page.ask("/reset", {})[1] == before
    _, elsewhere = page.ask("/home", {"name": "toy-2", "seed": 5})
    assert elsewhere["home"] == "toy-2" and elsewhere["in_view"] != before["in_view"]
    _, told = page.ask("/homes")
    assert told["homes"]["never trained in"] == list(WORLD.test_scenes()) and told["seed"] == 7
    assert len(told["homes"]["of training"]) == TRAINING_HOMES


def test_a_policy_is_watched_step_by_step_until_its_goal_is_reached(serve):
    page = serve(adviser=PlannerAdviser(False))
    assert page.ask("/state")[1]["policy"]["asked"] is False
    _, told = page.ask("/say", {"text": "bring the wrench to the sofa"})
    assert told["judged"] and not told["reached"] and told["note"].startswith("understood as fetch")
    assert told["policy"]["name"] == "planner" and told["policy"]["likeliest"][0][1] == 1.0
    while not told["policy"]["ending"]:
        expected = told["skills"][told["policy"]["likeliest"][0][0]]["name"]
        _, told = page.ask("/step", {})
        assert told["events"][-1]["skill"] == expected
    assert told["reached"] and told["policy"]["ending"] == "the goal is reached"
    assert told["events"][0]["asked"] == "bring the wrench to the sofa" and told["events"][-1]["reached"]
    status, problem = page.ask("/step", {})
    assert (status, problem["error"]) == (400, "its trial is over: the goal is reached")
    _, told = page.ask("/say", {"text": "dance"})
    assert not told["judged"] and told["note"].startswith("no goal is known") and not told["reached"]


def test_a_learned_policy_shows_its_ten_likeliest_skills_and_its_value(serve):
    adviser = LearnedAdviser(make_policy("llarp"), "mine")
    page = serve(adviser=adviser)
    _, told = page.ask("/say", {"text": "bring the wrench to the sofa"})
    policy = told["policy"]
    shares = [share for _, share in policy["likeliest"]]
    assert len(shares) == 10 and shares == sorted(shares, reverse=True) and 0 < sum(shares) < 1
    assert isinstance(policy["value"], float) and policy["steps"] == 32
    session = Session(WORLD, own_episode(WORLD, "", "toy-1")[0], adviser=LearnedAdviser(make_policy("llarp"), "mine"))
    session.say("bring the wrench to the sofa")
    numbers, probabilities = zip(*session.ask().likeliest(10), strict=True)
    assert [number for number, _ in policy["likeliest"]] == list(numbers)
    assert shares == pytest.approx(list(probabilities))
    _, told = page.ask("/use", {"skill": GO_SOFA})  # the policy is told of what a visitor does
    assert told["policy"]["trial"] == 2 and told["events"][-1]["probability"] is None


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/say", {"text": "  "}, "the sentence is empty"),
        ("/say", {"text": "x" * 1001}, "the sentence has 1001 characters"),
        ("/say", {"text": "a\u0000b"}, "characters that are not text"),
        ("/say", {"text": 3}, "'text' should be a text"),
        ("/say", {}, "'text' should be a text"),
        ("/use", {"skill": 70}, "'skill' should be a whole number from 0 to 69"),
        ("/use", {"skill": -1}, "'skill' should be a whole number"),
        ("/use", {"skill": True}, "'skill' should be a whole number"),
        ("/step", {}, "there is no policy"),
        ("/home", {"name": "nowhere", "seed": 0}, "unknown scene 'nowhere'"),
        ("/home", {"name": "toy-1", "seed": 1.5}, "'seed' should be a whole number"),
        ("/home", {"name": "toy-1", "seed": 10**30}, "'seed' should be a whole number"),
        ("/use", [1], "no JSON object"),
        ("/use", b"{", "no JSON object"),
        ("/use", b"[" * 10_000, "no JSON object"),
        ("/say", b" " * (MAX_BODY + 1), "at most 16,384 bytes"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_changes_nothing(serve, path, body, says):
    page = serve()
    before = page.ask("/state")[1]
    status, problem = page.ask(path, body)
    assert status == 400 and says in problem["error"]
    assert set(problem) == {"error", "hint"} and "\n" not in problem["error"] + problem["hint"]
    assert page.ask("/state")[1] == before


def test_an_error_of_ours_is_told_and_the_page_goes_on(serve, monkeypatch, capfd):
    page = serve()
    monkeypatch.setattr(Session, "undo", lambda self: 1 / 0)
    assert page.ask("/undo", {}) == (500, {"error": "ZeroDivisionError: division by zero", "hint": ""})
    assert capfd.readouterr().err == "error: ZeroDivisionError: division by zero\n"
    assert page.ask("/use", {"skill": GO_SOFA})[0] == 200


def test_other_web_sites_cannot_use_a_page_of_this_machine(serve):
    page = serve()
    assert page.ask("/state", Host="evil.example")[0] == 421
    assert page.ask("/state", Host="localhost:1")[0] == 200
    # What a form on another site can send without asking first.
    assert page.ask("/undo", b"{}", Content_Type="text/plain")[0] == 400
    status, html = page.ask("/")
    assert status == 200 and "<title>llarp" in html["text"]
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.ask("/../../etc/passwd")[0] == 404 and page.ask("/use")[0] == 405


def test_it_listens_where_it_is_told():
    here = Listening("127.0.0.1", 0)
    port = here.socket.getsockname()[1]
    assert here.url == f"http://127.0.0.1:{port}/" and {"127.0.0.1", "localhost"} <= here.hosts
    with pytest.raises(UsageProblem, match=f"cannot listen on 127.0.0.1, port {port}: address already in use"):
        Listening("127.0.0.1", port)
    here.socket.close()
    everywhere = Listening("0.0.0.0", 0)
    assert everywhere.hosts is None and everywhere.url.startswith("http://127.0.0.1:")
    everywhere.socket.close()
    for host in ("no such host", "203.0.113.1", "x" * 300):
        with pytest.raises(UsageProblem, match="cannot listen on"):
            Listening(host, 0)
    if socket.has_ipv6:
        six = Listening("::1", 0)
        assert six.url.startswith("http://[::1]:")
        six.socket.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "0"], "--port goes with --web"),
        (["--no-browser"], "--browser goes with --web"),
        (["--web", "--frames", "x"], "--frames goes without --web"),
        (["--web", "--port", "0", "--home", "nowhere"], "unknown scene 'nowhere'"),
    ],
)
def test_options_that_do_not_go_together(llarp, arguments, message, tmp_path):
    result = llarp("play", *arguments)
    assert result.exit_code == 2 and result.stderr.startswith(f"error: {message}") and list(tmp_path.iterdir()) == []


def test_without_its_extra_it_says_what_to_install(llarp, monkeypatch):
    monkeypatch.delitem(sys.modules, "llarp_cli.page.serve", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = llarp("play", "--web", "--port", "0")
    assert (result.exit_code, result.stderr) == (
        2,
        "error: --web needs the package 'uvicorn'\nhint: pip install 'llarp[web]'\n",
    )


@pytest.mark.skipif(os.name == "nt", reason="no Ctrl-C for one process")
def test_ctrl_c_stops_it_once_and_cleanly(llarp, monkeypatch):
    monkeypatch.setattr("llarp_cli.registry.load", lambda kind, name: WORLD)
    served: list[str] = []
    seen: list[int] = []

    def visit(session, listening, **options):
        served.append(listening.url)

        def come_and_stop():
            connection = http.client.HTTPConnection(listening.url.split("/")[2], timeout=60)
            connection.request("GET", "/")
            seen.append(connection.getresponse().status)  # and the connection stays open
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=come_and_stop).start()
        serve(session, listening, **options)

    from llarp_cli.page.serve import serve

    monkeypatch.setattr("llarp_cli.page.serve.serve", visit)
    result = llarp("play", "--web", "--port", "0", "--home", "toy-1", "--no-browser")
    assert (result.exit_code, seen) == (130, [200])
    assert result.stdout == f"{served[0]}\n"
    assert result.stderr == "open that in a browser; Ctrl-C stops\ninterrupted\n"


# In a browser


def _browser(width: int, height: int):
    """A headless Chromium."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium here: make test-browser")
    from selenium.webdriver.chrome.service import Service

    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no Chromium with its driver here: apt install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    return browser


class Visitor:
    """Somebody at the page, who waits for what they expect."""

    def __init__(self, browser, url: str):
        self.browser = browser
        browser.get(url)
        self.until(lambda: len(self.all("#kinds button")) == len(SKILLS))

    def all(self, selector: str) -> list:
        return self.browser.find_elements("css selector", selector)

    def text(self, selector: str) -> str:
        return self.all(selector)[0].text

    def press(self, selector: str) -> None:
        element = self.all(selector)[0]
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def ask(self, text: str) -> None:
        field = self.all("#text")[0]
        field.clear()
        field.send_keys(text + "\n")

    def until(self, true) -> None:
        from selenium.common.exceptions import StaleElementReferenceException
        from selenium.webdriver.support.ui import WebDriverWait

        changing = (StaleElementReferenceException,)
        WebDriverWait(self.browser, 60, 0.05, ignored_exceptions=changing).until(lambda _: true())

    def colours(self, image: str) -> int:
        """How many colours a picture has, as the browser shows it."""
        png = self.all(image)[0].screenshot_as_png
        return len(np.unique(np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).reshape(-1, 3), axis=0))


@pytest.mark.browser
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_a_visitor_plays(serve, width, height):
    browser = _browser(width, height)
    try:
        visitor = Visitor(browser, serve(adviser=PlannerAdviser(False)).url)
        assert not visitor.all("#step")[0].is_enabled() and visitor.text("#policy") == "policy: planner"
        assert visitor.colours("#first_person") > 1 and visitor.colours("#other") > 1

        shout = '<img src=x onerror=alert(1)><b>bring</b> &amp; "dance"'
        visitor.ask(shout)
        visitor.until(lambda: visitor.text("#asked") == f"“{shout}”")
        assert visitor.text("#note").startswith("no goal is known") and visitor.text("#outcome") == ""
        assert visitor.all("#asked *") == visitor.all("#events .name *") == []

        visitor.ask("   ")
        visitor.until(lambda: "the sentence is empty" in visitor.text("#problem"))
        visitor.ask("bring the wrench to the sofa")
        visitor.until(lambda: visitor.text("#outcome") == "goal not reached yet")
        assert not visitor.all("#problem")[0].is_displayed()
        bar = visitor.text("#bars li")
        assert bar.startswith("go to the ") and bar.endswith("100.0%")
        visitor.press("#step")
        visitor.until(lambda: len(visitor.all("#events li")) == 3)

        visitor.press(f"#kinds [data-skill='{SKILL_INDEX['place', 'sofa']}']")
        visitor.until(lambda: "“place on the sofa” is not possible: the hand is empty" in visitor.text("#problem"))
        assert len(visitor.all("#events li")) == 3
        visitor.press(f"#kinds [data-skill='{GO_SOFA}']")
        visitor.until(lambda: "by hand" in visitor.text("#events li"))

        browser.execute_script("document.querySelector('#pace').value = '0'")
        visitor.press("#run")
        visitor.until(lambda: visitor.text("#outcome") == "goal reached")
        visitor.until(lambda: visitor.text("#run") == "Run" and visitor.all("#undo")[0].is_enabled())
        visitor.press("[data-camera='third_person']")
        assert visitor.all("#other")[0].get_attribute("alt") == "the robot"
        visitor.press("#reset")
        visitor.until(lambda: visitor.text("#asked") == "Nothing is asked yet.")
        assert visitor.text("#events") == "nothing yet"

        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        severe = [line for line in browser.get_log("browser") if "400 (Bad Request)" not in line["message"]]
        assert severe == []
    finally:
        browser.quit()


@pytest.mark.browser
def test_a_page_whose_server_is_gone_says_so(serve):
    browser = _browser(1280, 800)
    try:
        page = serve()
        visitor = Visitor(browser, page.url)
        assert "no policy" in visitor.text("#policy") and "--policy POLICY" in visitor.text("#trial")
        page.stop()
        visitor.press(f"#kinds [data-skill='{GO_SOFA}']")
        visitor.until(lambda: "llarp does not answer" in visitor.text("#problem"))
    finally:
        browser.quit()
