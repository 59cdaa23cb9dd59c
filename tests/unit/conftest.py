from tests.cli.conftest import site as site
