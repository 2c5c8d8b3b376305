"""What is changed in staged templates for an emulated account, and nothing else is."""

from pathlib import Path

import pytest

from tests.e2e.account import without_resources
from tests.e2e.localstack import LACKING, with_simpler_alarms, without_streamed_answers
from tests.e2e.ministack import without_deployments

INFRA = Path(__file__).parents[2] / "infra"


def stage(folder: Path, name: str) -> Path:
    """A stage with a link to one of the nested templates; where it is."""
    (folder / "infra").mkdir()
    staged = folder / "infra" / name
    staged.symlink_to(INFRA / name)
    return staged


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def test_a_template_without_nothing_is_the_template() -> None:
    whole = (INFRA / "monitoring.yaml").read_text()
    comments = [line for line in lines(whole) if line.startswith("  #")]
    assert lines(without_resources(whole, set())) == [
        line for line in lines(whole) if line not in comments
    ]


def test_a_resource_that_is_not_there_cannot_be_left_out() -> None:
    with pytest.raises(AssertionError):
        without_resources((INFRA / "monitoring.yaml").read_text(), {"Nothing"})


def test_ministack_gets_a_websocket_api_without_what_it_lacks(tmp_path: Path) -> None:
    staged = stage(tmp_path, "websocket.yaml")
    whole = staged.read_text()
    without_deployments(tmp_path)
    gone = [line for line in lines(whole) if line not in lines(staged.read_text())]

    assert {"  Deployment:", "  FrameResponse:", "      DeploymentId: !Ref Deployment"} <= {*gone}
    assert len(gone) < 12
    assert (INFRA / "websocket.yaml").read_text() == whole


def test_localstack_gets_a_template_without_streamed_answers(tmp_path: Path) -> None:
    staged, template = tmp_path / "template.yaml", INFRA.parent / "template.yaml"
    staged.symlink_to(template)
    without_streamed_answers(tmp_path)
    before, left = template.read_text().splitlines(), staged.read_text().splitlines()

    gone = {line.strip() for line in before if line not in left}
    assert gone == {"ResponseTransferMode: RESPONSE_STREAM", "TimeoutInMillis: 900000"}
    assert left == [line for line in before if line.strip() not in gone]


def test_localstack_gets_simpler_alarms(tmp_path: Path) -> None:
    staged = stage(tmp_path, "monitoring.yaml")
    whole = staged.read_text()
    with_simpler_alarms(tmp_path)
    left = staged.read_text()

    assert left.count("AWS::CloudWatch::Alarm") == whole.count("AWS::CloudWatch::Alarm")
    assert "ExtendedStatistic" not in left
    assert "Threshold: !Ref" not in left
    assert not [name for name in LACKING if f"\n  {name}:\n" in left]
    assert whole.partition("Outputs:")[2] == left.partition("Outputs:")[2]
